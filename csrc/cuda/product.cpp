#include "product.h"

#include <algorithm>
#include <memory>

namespace cortex {

namespace lt {

void check(Status status, const char* call, bool unsupported) {
  if (status == STATUS_SUCCESS) return;
  throw StatusError(std::string(call) + ": " + status_name(status) + " (" + std::to_string(status) + "), " +
                        status_text(status),
                    unsupported || status == STATUS_NOT_SUPPORTED);
}

}  // namespace lt

namespace {

// A stand-in for an address that is known later: the heuristic reads the alignment from it.
uintptr_t aligned_stand_in(uint32_t alignment) { return (uintptr_t(1) << 32) + alignment; }

bool has_bias(uint32_t epilogue) {
  const uint32_t gradients = lt::EPILOGUE_BGRADA | lt::EPILOGUE_BGRADB | 16;
  return epilogue & (lt::EPILOGUE_BIAS | gradients);
}

bool has_aux(uint32_t epilogue) { return epilogue & 128; }

void check_alignment(const char* operand, uintptr_t address, uint32_t alignment) {
  if (address % alignment)
    throw std::invalid_argument("Product.run: " + std::string(operand) + " at address " + std::to_string(address) +
                                " is not aligned to the " + std::to_string(alignment) +
                                " bytes that it was planned with");
}

struct DestroyPreference {
  void operator()(lt::PreferenceOpaque* preference) const { lt::preference_destroy(preference); }
};

}  // namespace

Product::Product(const ProductArguments& arguments) : arguments_(arguments) {
  const ProductArguments& g = arguments_;
  try {
    lt::check(lt::description_create(&description_, lt::Compute(g.compute), lt::Type(g.type_scale)),
              "cublasLtMatmulDescCreate");
    set(lt::DESC_TRANSA, int32_t(g.transpose_a ? lt::OP_T : lt::OP_N));
    set(lt::DESC_TRANSB, int32_t(g.transpose_b ? lt::OP_T : lt::OP_N));
    set(lt::DESC_EPILOGUE, g.epilogue);
    if (has_bias(g.epilogue)) {
      if (g.type_bias != g.type_d) set(lt::DESC_BIAS_DATA_TYPE, int32_t(g.type_bias));
      if (g.batch > 1) set(lt::DESC_BIAS_BATCH_STRIDE, g.bias_stride);
    }
    if (has_aux(g.epilogue)) {
      set(lt::DESC_EPILOGUE_AUX_LD, g.aux_ld);
      if (g.batch > 1) set(lt::DESC_EPILOGUE_AUX_BATCH_STRIDE, g.aux_stride);
    }
    a_ = layout(g.type, g.transpose_a ? g.k : g.m, g.transpose_a ? g.m : g.k, g.lda, g.stride_a);
    b_ = layout(g.type, g.transpose_b ? g.n : g.k, g.transpose_b ? g.k : g.n, g.ldb, g.stride_b);
    d_ = layout(g.type_d, g.m, g.n, g.ldd, g.stride_d);
  } catch (...) {
    destroy();
    throw;
  }
}

Product::~Product() { destroy(); }

void Product::destroy() {
  for (lt::Layout one : {a_, b_, d_})
    if (one) lt::layout_destroy(one);
  if (description_) lt::description_destroy(description_);
}

template <class T>
void Product::set(lt::DescriptionAttribute attribute, const T& value) {
  lt::check(lt::description_set(description_, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
}

lt::Layout Product::layout(int type, int64_t rows, int64_t columns, int64_t ld, int64_t stride) const {
  lt::Layout made = nullptr;
  lt::check(lt::layout_create(&made, lt::Type(type), uint64_t(rows), uint64_t(columns), ld),
            "cublasLtMatrixLayoutCreate");
  if (arguments_.batch == 1) return made;
  const int32_t batch = int32_t(arguments_.batch);
  lt::Status status = lt::layout_set(made, lt::LAYOUT_BATCH_COUNT, &batch, sizeof batch);
  if (!status) status = lt::layout_set(made, lt::LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride);
  if (status) lt::layout_destroy(made);
  lt::check(status, "cublasLtMatrixLayoutSetAttribute");
  return made;
}

void Product::point(uintptr_t bias, uintptr_t aux) {
  if (has_bias(arguments_.epilogue) && bias != bias_) set(lt::DESC_BIAS_POINTER, bias), bias_ = bias;
  if (has_aux(arguments_.epilogue) && aux != aux_) set(lt::DESC_EPILOGUE_AUX_POINTER, aux), aux_ = aux;
}

void Product::plan(uintptr_t handle, size_t workspace, const Alignments& alignments, int limit) {
  point(aligned_stand_in(alignments.bias), aligned_stand_in(alignments.aux));
  lt::Preference made = nullptr;
  lt::check(lt::preference_create(&made), "cublasLtMatmulPreferenceCreate");
  const std::unique_ptr<lt::PreferenceOpaque, DestroyPreference> preference(made);
  const auto prefer = [&](lt::PreferenceAttribute attribute, const auto& value) {
    lt::check(lt::preference_set(made, attribute, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(lt::PREF_MAX_WORKSPACE_BYTES, uint64_t(workspace));
  prefer(lt::PREF_MIN_ALIGNMENT_A_BYTES, alignments.a);
  prefer(lt::PREF_MIN_ALIGNMENT_B_BYTES, alignments.b);
  prefer(lt::PREF_MIN_ALIGNMENT_C_BYTES, alignments.c);
  prefer(lt::PREF_MIN_ALIGNMENT_D_BYTES, alignments.d);

  std::vector<lt::Heuristic> results(size_t(std::max(limit, 1)));
  int count = 0;
  const lt::Status status = lt::heuristic(reinterpret_cast<lt::Handle>(handle), description_, a_, b_, d_, d_, made,
                                          int(results.size()), results.data(), &count);
  // The library calls a combination of types and epilogue that it does not have impossible, hence invalid.
  lt::check(status, "cublasLtMatmulAlgoGetHeuristic", status == lt::STATUS_INVALID_VALUE);
  std::vector<lt::Heuristic> usable;
  std::copy_if(results.begin(), results.begin() + count, std::back_inserter(usable),
               [](const lt::Heuristic& one) { return one.state == lt::STATUS_SUCCESS; });
  if (usable.empty()) throw StatusError("cublasLtMatmulAlgoGetHeuristic: found no algorithm", true);
  handle_ = reinterpret_cast<lt::Handle>(handle);
  found_ = usable;
  chosen_ = 0;
  alignments_ = alignments;
}

std::vector<Choice> Product::choices() const {
  std::vector<Choice> all;
  for (const lt::Heuristic& one : found_) all.push_back({one.workspace, one.waves});
  return all;
}

void Product::choose(int64_t choice) {
  if (choice < 0 || choice >= int64_t(found_.size()))
    throw std::out_of_range("Product.choose: expected 0 to " + std::to_string(int64_t(found_.size()) - 1) +
                            ", given " + std::to_string(choice));
  chosen_ = size_t(choice);
}

size_t Product::workspace() const {
  if (found_.empty()) throw std::runtime_error("Product: call plan() first");
  return found_[chosen_].workspace;
}

void Product::run(const Addresses& at, uintptr_t workspace, size_t workspace_bytes, uintptr_t stream) {
  if (workspace_bytes < this->workspace())
    throw std::invalid_argument("Product.run: the algorithm needs a workspace of " +
                                std::to_string(this->workspace()) + " bytes, given " +
                                std::to_string(workspace_bytes));
  check_alignment("A", at.a, alignments_.a);
  check_alignment("B", at.b, alignments_.b);
  check_alignment("C", at.c, alignments_.c);
  check_alignment("D", at.d, alignments_.d);
  check_alignment("bias", at.bias, alignments_.bias);
  check_alignment("aux", at.aux, alignments_.aux);
  point(at.bias, at.aux);
  const bool wide = arguments_.type_scale == lt::R_64F;
  const float alpha = float(arguments_.alpha), beta = float(arguments_.beta);
  const auto pointer = [](uintptr_t address) { return reinterpret_cast<void*>(address); };
  lt::check(lt::matmul(handle_, description_, wide ? (const void*)&arguments_.alpha : &alpha, pointer(at.a), a_,
                       pointer(at.b), b_, wide ? (const void*)&arguments_.beta : &beta, pointer(at.c ? at.c : at.d), d_,
                       pointer(at.d), d_, &found_[chosen_].algorithm, pointer(workspace), workspace_bytes,
                       reinterpret_cast<lt::Stream>(stream)),
            "cublasLtMatmul");
}

std::pair<uintptr_t, uintptr_t> Product::bias_and_aux() const {
  const auto get = [&](lt::DescriptionAttribute attribute) {
    uintptr_t value = 0;
    size_t written = 0;
    lt::check(lt::description_get(description_, attribute, &value, sizeof value, &written),
              "cublasLtMatmulDescGetAttribute");
    return value;
  };
  return {get(lt::DESC_BIAS_POINTER), get(lt::DESC_EPILOGUE_AUX_POINTER)};
}

}  // namespace cortex
