// A library with the entry points of cuBLASLt that multiplies on the host, column-major as documented, in float32 and
// float64. It is strict where the real one may be lax: sizes of attributes, leading dimensions, workspace, streams.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 7, UNSUPPORTED = 15, F32 = 0, F64 = 1 };
enum { TRANSA = 3, TRANSB = 4, EPILOGUE = 7, BIAS = 8, BIAS_STRIDE = 10, AUX = 11, AUX_LD = 12, BIAS_TYPE = 26 };
enum {
  RELU = 2, BIASED = 4, DRELU = 8, SUMS_D = 16, GELU = 32, DGELU = 64, WITH_AUX = 128, SUMS_A = 256, SUMS_B = 512
};

typedef struct { int64_t type, rows, columns, ld, batch, stride; } Layout;
typedef struct { int64_t compute, scale, value[64]; } Description;
typedef struct { int64_t value[32]; } Preference;
typedef struct { uint64_t algorithm[8]; size_t workspace; int state; float waves; int reserved[4]; } Result;

size_t cublasLtGetVersion(void) { return 130001; }
const char* cublasLtGetStatusName(int s) {
  return s == INVALID ? "CUBLAS_STATUS_INVALID_VALUE" : "CUBLAS_STATUS_NOT_SUPPORTED";
}
const char* cublasLtGetStatusString(int s) { return s == INVALID ? "invalid" : "not supported"; }
int cublasLtCreate(void** handle) { *handle = (void*)77; return OK; }

int cublasLtMatrixLayoutCreate(Layout** made, int type, uint64_t rows, uint64_t columns, int64_t ld) {
  if (!rows || !columns || ld < (int64_t)rows) return INVALID;
  const Layout layout = {type, (int64_t)rows, (int64_t)columns, ld, 1, 0};
  *made = malloc(sizeof layout);
  **made = layout;
  return OK;
}
int cublasLtMatrixLayoutDestroy(Layout* layout) { free(layout); return OK; }
int cublasLtMatrixLayoutSetAttribute(Layout* layout, int attribute, const void* value, size_t size) {
  if (attribute == 5 && size == 4) { layout->batch = *(const int32_t*)value; return OK; }
  if (attribute == 6 && size == 8) { layout->stride = *(const int64_t*)value; return OK; }
  return INVALID;
}

int cublasLtMatmulDescCreate(Description** made, int compute, int scale) {
  *made = calloc(1, sizeof **made);
  (*made)->compute = compute;
  (*made)->scale = scale;
  (*made)->value[EPILOGUE] = 1;
  return OK;
}
int cublasLtMatmulDescDestroy(Description* d) { free(d); return OK; }
int cublasLtMatmulDescSetAttribute(Description* d, int attribute, const void* value, size_t size) {
  const int narrow = attribute == TRANSA || attribute == TRANSB || attribute == EPILOGUE || attribute == BIAS_TYPE;
  if (size != (narrow ? 4u : 8u)) return INVALID;
  d->value[attribute] = 0;
  memcpy(&d->value[attribute], value, size);
  return OK;
}
int cublasLtMatmulDescGetAttribute(Description* d, int attribute, void* value, size_t size, size_t* written) {
  memcpy(value, &d->value[attribute], size);
  *written = size;
  return OK;
}

int cublasLtMatmulPreferenceCreate(Preference** made) { *made = calloc(1, sizeof **made); return OK; }
int cublasLtMatmulPreferenceDestroy(Preference* p) { free(p); return OK; }
int cublasLtMatmulPreferenceSetAttribute(Preference* p, int attribute, const void* value, size_t size) {
  if (size != (attribute == 1 ? 8u : 4u)) return INVALID;
  memcpy(&p->value[attribute], value, size);
  return OK;
}

int cublasLtMatmulAlgoGetHeuristic(void* handle, Description* d, Layout* a, Layout* b, Layout* c, Layout* out,
                                   Preference* p, int wanted, Result* results, int* found) {
  if (handle != (void*)77) return INVALID;
  const int64_t epilogue = d->value[EPILOGUE];
  if (a->type > F64 || b->type != a->type || c->type != out->type) return UNSUPPORTED;
  if (a->type == F64 && (epilogue & WITH_AUX)) return INVALID;  // as the real one calls what it has not
  if ((epilogue & (BIASED | SUMS_D | SUMS_A | SUMS_B)) && !d->value[BIAS]) return INVALID;
  if ((epilogue & WITH_AUX) && !d->value[AUX]) return INVALID;
  static const size_t workspaces[] = {4096, 0, 256};
  *found = 0;
  for (int i = 0; i < 3 && *found < wanted; i++) {
    if (workspaces[i] > (size_t)p->value[1]) continue;
    Result one = {{(uint64_t)(i + 1), (uint64_t)p->value[5]}, workspaces[i], OK, 1.0f + i, {0}};
    results[(*found)++] = one;
  }
  return OK;
}

static double get(const void* x, int64_t type, int64_t i) {
  return type == F64 ? ((const double*)x)[i] : ((const float*)x)[i];
}
static void put(void* x, int64_t type, int64_t i, double v) {
  if (type == F64) ((double*)x)[i] = v;
  else ((float*)x)[i] = (float)v;
}
static const double ROOT = 0.7978845608028654;  // sqrt(2 / pi)
static double gelu(double x) { return 0.5 * x * (1 + tanh(ROOT * (x + 0.044715 * x * x * x))); }
static double gelu_slope(double x) {
  const double t = tanh(ROOT * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * ROOT * (1 + 3 * 0.044715 * x * x);
}

int cublasLtMatmul(void* handle, Description* d, const void* alpha, const void* A, Layout* a, const void* B, Layout* b,
                   const void* beta, const void* C, Layout* c, void* D, Layout* out, const uint64_t* algorithm,
                   void* workspace, size_t workspace_bytes, void* stream) {
  static const size_t workspaces[] = {4096, 0, 256};
  if (handle != (void*)77 || !algorithm[0] || stream != (void*)55) return INVALID;
  if (workspace_bytes < workspaces[algorithm[0] - 1]) return INVALID;
  if (workspace_bytes) memset(workspace, 0xAA, workspace_bytes);
  const int ta = (int)d->value[TRANSA], tb = (int)d->value[TRANSB], e = (int)d->value[EPILOGUE];
  const int64_t m = out->rows, n = out->columns, k = ta ? a->rows : a->columns, type = a->type;
  if ((ta ? a->columns : a->rows) != m || (tb ? b->rows : b->columns) != n) return INVALID;
  if ((tb ? b->columns : b->rows) != k) return INVALID;
  if (a->batch != out->batch || b->batch != out->batch) return INVALID;
  const double al = d->scale == F64 ? *(const double*)alpha : *(const float*)alpha;
  const double be = d->scale == F64 ? *(const double*)beta : *(const float*)beta;
  void *bias = (void*)d->value[BIAS], *aux = (void*)d->value[AUX];
  const int64_t ld = d->value[AUX_LD];
  if ((e & WITH_AUX) && (ld < m || ld % ((e & (RELU | DRELU)) ? 128 : 8))) return INVALID;
  for (int64_t z = 0; z < out->batch; z++)
    for (int64_t j = 0; j < n; j++)
      for (int64_t i = 0; i < m; i++) {
        double v = 0;
        for (int64_t l = 0; l < k; l++)
          v += get(A, type, z * a->stride + (ta ? l + i * a->ld : i + l * a->ld)) *
               get(B, type, z * b->stride + (tb ? j + l * b->ld : l + j * b->ld));
        v *= al;
        const int64_t at = z * out->stride + i + j * out->ld;
        if (be) v += be * get(C, c->type, at);
        if (e & BIASED) v += get(bias, out->type, z * d->value[BIAS_STRIDE] + i);
        uint8_t* byte = (uint8_t*)aux + (j * ld + i) / 8;
        const int bit = 1 << (i % 8);
        if (e & RELU) {
          if (e & WITH_AUX) *byte = v > 0 ? *byte | bit : *byte & ~bit;
          v = v > 0 ? v : 0;
        } else if (e & GELU) {
          if (e & WITH_AUX) put(aux, out->type, j * ld + i, v);
          v = gelu(v);
        } else if (e & DRELU) {
          v = *byte & bit ? v : 0;
        } else if (e & DGELU) {
          v *= gelu_slope(get(aux, out->type, j * ld + i));
        }
        put(D, out->type, at, v);
        if (e & SUMS_D) put(bias, out->type, i, v + (j ? get(bias, out->type, i) : 0));
      }
  for (int64_t i = 0; (e & SUMS_A) && i < m; i++) {
    double sum = 0;
    for (int64_t l = 0; l < k; l++) sum += get(A, type, ta ? l + i * a->ld : i + l * a->ld);
    put(bias, out->type, i, sum);
  }
  for (int64_t j = 0; (e & SUMS_B) && j < n; j++) {
    double sum = 0;
    for (int64_t l = 0; l < k; l++) sum += get(B, type, tb ? j + l * b->ld : l + j * b->ld);
    put(bias, out->type, j, sum);
  }
  return OK;
}
