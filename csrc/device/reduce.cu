// Reductions of x seen as [outer, count, inner]. `_rows`: inner = 1, a team walks a row. `_columns`: a column of the
// tile is one (outer, inner) pair. Either cuts `count` into `parts`; the results [outer, parts, inner] are then reduced
// once more. Sums and products have the type R (float for 16-bit floats, int64 for integers), extrema the type T.
CX_DTYPES(float32, float64, float16, bfloat16, bool, uint8, int32, int64, uint64)

namespace cx {

struct Adding {
  Sum<A> sum;
  CX_FN void take(A v) { sum.add(v); }
  template <class Team> CX_FN A result(const Team& team) const { return team.sum(sum.total); }
};
struct Multiplying {
  A total = A(1);
  CX_FN void take(A v) { total = total * v; }
  template <class Team> CX_FN A result(const Team& team) const { return team.product(total); }
};
struct Highest {
  A total = lowest(A());
  CX_FN void take(A v) { total = maximum(total, v); }
  template <class Team> CX_FN A result(const Team& team) const { return team.max(total); }
};
struct Lowest {
  A total = highest(A());
  CX_FN void take(A v) { total = minimum(total, v); }
  template <class Team> CX_FN A result(const Team& team) const { return team.min(total); }
};

// y [outer, parts]: row is (outer, part)
template <class Kind, class Y> CX_FN void reduce_row(const RowTeam& team, I row, Y* y, const T* x, I count, I parts) {
  const I size = part_size<I>(count, parts), o = row / parts, part = row - o * parts;
  const I start = least<I>(part * size, count), stop = least<I>(start + size, count);
  Kind kind;
  for (I r = start + team.lane(); r < stop; r += team.size()) kind.take(cast<A>(x[o * count + r]));
  const A result = kind.result(team);
  if (team.leads()) y[row] = cast<Y>(result);
}

// y [outer, parts, inner]: a column is (outer, inner)
template <class Kind, class Y>
CX_FN void reduce_column(const ColumnTeam<I>& team, Y* y, const T* x, I count, I inner, I parts) {
  const I o = team.column / inner, c = team.column - o * inner, base = o * count * inner + c;
  Kind kind;
  for (I r = team.first(); r < team.last(); r += team.step()) kind.take(cast<A>(x[base + r * inner]));
  const A result = kind.result(team);
  if (team.leads()) y[(o * parts + team.part) * inner + c] = cast<Y>(result);
}

CX_ROWS(sum_rows, (R* y, const T* x, I outer, I count, I parts), outer * parts, count / parts) {
  reduce_row<Adding>(team, row, y, x, count, parts);
} CX_END
CX_COLUMNS(sum_columns, (R* y, const T* x, I outer, I count, I inner, I parts), outer * inner, count, parts) {
  reduce_column<Adding>(team, y, x, count, inner, parts);
} CX_END
CX_ROWS(prod_rows, (R* y, const T* x, I outer, I count, I parts), outer * parts, count / parts) {
  reduce_row<Multiplying>(team, row, y, x, count, parts);
} CX_END
CX_COLUMNS(prod_columns, (R* y, const T* x, I outer, I count, I inner, I parts), outer * inner, count, parts) {
  reduce_column<Multiplying>(team, y, x, count, inner, parts);
} CX_END
CX_ROWS(max_rows, (T* y, const T* x, I outer, I count, I parts), outer * parts, count / parts) {
  reduce_row<Highest>(team, row, y, x, count, parts);
} CX_END
CX_COLUMNS(max_columns, (T* y, const T* x, I outer, I count, I inner, I parts), outer * inner, count, parts) {
  reduce_column<Highest>(team, y, x, count, inner, parts);
} CX_END
CX_ROWS(min_rows, (T* y, const T* x, I outer, I count, I parts), outer * parts, count / parts) {
  reduce_row<Lowest>(team, row, y, x, count, parts);
} CX_END
CX_COLUMNS(min_columns, (T* y, const T* x, I outer, I count, I inner, I parts), outer * inner, count, parts) {
  reduce_column<Lowest>(team, y, x, count, inner, parts);
} CX_END

// The position of the first maximum, int32; a NaN counts as the maximum.
CX_ROWS(argmax_rows, (int* y, const T* x, I outer, I count), outer, count) {
  Best<A> best{A(), -1};
  for (I r = team.lane(); r < count; r += team.size())
    best = better(best, Best<A>{cast<A>(x[row * count + r]), (cx_i64)r});
  best = team.best(best);
  if (team.leads()) y[row] = (int)best.at;
} CX_END

CX_COLUMNS(argmax_columns, (int* y, const T* x, I outer, I count, I inner), outer * inner, count, 1) {
  const I o = team.column / inner, base = o * count * inner + (team.column - o * inner);
  Best<A> best{A(), -1};
  for (I r = team.first(); r < team.last(); r += team.step())
    best = better(best, Best<A>{cast<A>(x[base + r * inner]), (cx_i64)r});
  best = team.best(best);
  if (team.leads()) y[team.column] = (int)best.at;
} CX_END

}  // namespace cx
