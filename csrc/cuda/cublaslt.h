// The part of cuBLASLt's public interface that matrix products need, declared here so that no header of CUDA is needed.
// Names are those of the library without their prefix; tests compare the numbers with an installed cublasLt.h.
#pragma once
#include <cstddef>
#include <cstdint>

#include "library.h"

namespace cortex {
namespace lt {

typedef int Status;
typedef struct ContextOpaque* Handle;
typedef struct LayoutOpaque* Layout;
typedef struct DescriptionOpaque* Description;
typedef struct PreferenceOpaque* Preference;
typedef struct StreamOpaque* Stream;

struct Algorithm {
  uint64_t data[8];
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspace;  // bytes
  Status state;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Heuristic) == 96, "cublasLtMatmulHeuristicResult_t has 96 bytes");

enum Operation : int32_t { OP_N = 0, OP_T = 1 };
enum StatusCode : int { STATUS_SUCCESS = 0, STATUS_INVALID_VALUE = 7, STATUS_NOT_SUPPORTED = 15 };
enum LayoutAttribute : int { LAYOUT_BATCH_COUNT = 5, LAYOUT_STRIDED_BATCH_OFFSET = 6 };
enum DescriptionAttribute : int {
  DESC_TRANSA = 3,
  DESC_TRANSB = 4,
  DESC_EPILOGUE = 7,
  DESC_BIAS_POINTER = 8,
  DESC_BIAS_BATCH_STRIDE = 10,
  DESC_EPILOGUE_AUX_POINTER = 11,
  DESC_EPILOGUE_AUX_LD = 12,
  DESC_EPILOGUE_AUX_BATCH_STRIDE = 13,
  DESC_BIAS_DATA_TYPE = 26,
};
enum PreferenceAttribute : int {
  PREF_MAX_WORKSPACE_BYTES = 1,
  PREF_MIN_ALIGNMENT_A_BYTES = 5,
  PREF_MIN_ALIGNMENT_B_BYTES = 6,
  PREF_MIN_ALIGNMENT_C_BYTES = 7,
  PREF_MIN_ALIGNMENT_D_BYTES = 8,
};
enum Type : int { R_32F = 0, R_64F = 1, R_16F = 2, R_16BF = 14 };
enum Compute : int { COMPUTE_32F = 68, COMPUTE_64F = 70, COMPUTE_32F_FAST_TF32 = 77 };
enum Epilogue : uint32_t {
  EPILOGUE_DEFAULT = 1,
  EPILOGUE_RELU = 2,
  EPILOGUE_BIAS = 4,
  EPILOGUE_RELU_BIAS = 6,
  EPILOGUE_GELU = 32,
  EPILOGUE_GELU_BIAS = 36,
  EPILOGUE_RELU_AUX = 130,
  EPILOGUE_RELU_AUX_BIAS = 134,
  EPILOGUE_DRELU = 136,
  EPILOGUE_DRELU_BGRAD = 152,
  EPILOGUE_GELU_AUX = 160,
  EPILOGUE_GELU_AUX_BIAS = 164,
  EPILOGUE_DGELU = 192,
  EPILOGUE_DGELU_BGRAD = 208,
  EPILOGUE_BGRADA = 256,
  EPILOGUE_BGRADB = 512,
};

// An entry point, looked up at its first call.
template <class Signature>
class Entry;
template <class Result, class... Arguments>
class Entry<Result(Arguments...)> {
 public:
  explicit Entry(const char* name) : name_(name) {}
  Result operator()(Arguments... arguments) {
    if (!function_) function_ = reinterpret_cast<Result (*)(Arguments...)>(cublaslt().symbol(name_));
    return function_(arguments...);
  }

 private:
  const char* name_;
  Result (*function_)(Arguments...) = nullptr;
};

inline Entry<size_t()> version("cublasLtGetVersion");
inline Entry<const char*(Status)> status_name("cublasLtGetStatusName");
inline Entry<const char*(Status)> status_text("cublasLtGetStatusString");
inline Entry<Status(Handle*)> create("cublasLtCreate");
inline Entry<Status(Layout*, Type, uint64_t, uint64_t, int64_t)> layout_create("cublasLtMatrixLayoutCreate");
inline Entry<Status(Layout)> layout_destroy("cublasLtMatrixLayoutDestroy");
inline Entry<Status(Layout, LayoutAttribute, const void*, size_t)> layout_set("cublasLtMatrixLayoutSetAttribute");
inline Entry<Status(Description*, Compute, Type)> description_create("cublasLtMatmulDescCreate");
inline Entry<Status(Description)> description_destroy("cublasLtMatmulDescDestroy");
inline Entry<Status(Description, DescriptionAttribute, const void*, size_t)> description_set(
    "cublasLtMatmulDescSetAttribute");
inline Entry<Status(Description, DescriptionAttribute, void*, size_t, size_t*)> description_get(
    "cublasLtMatmulDescGetAttribute");
inline Entry<Status(Preference*)> preference_create("cublasLtMatmulPreferenceCreate");
inline Entry<Status(Preference)> preference_destroy("cublasLtMatmulPreferenceDestroy");
inline Entry<Status(Preference, PreferenceAttribute, const void*, size_t)> preference_set(
    "cublasLtMatmulPreferenceSetAttribute");
inline Entry<Status(Handle, Description, Layout, Layout, Layout, Layout, Preference, int, Heuristic*, int*)> heuristic(
    "cublasLtMatmulAlgoGetHeuristic");
inline Entry<Status(Handle, Description, const void*, const void*, Layout, const void*, Layout, const void*, const void*,
                    Layout, void*, Layout, const Algorithm*, void*, size_t, Stream)>
    matmul("cublasLtMatmul");

// Throws StatusError, with the library's name and text of the status, unless it is success.
void check(Status status, const char* call, bool unsupported = false);

}  // namespace lt
}  // namespace cortex
