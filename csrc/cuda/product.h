// D = epilogue(alpha op(A) op(B) + beta C), column-major as cuBLASLt has it; the row-major side is Python's
// (gpu_compute/libraries/products.py).
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cublaslt.h"

namespace cortex {

// A call of a library failed; `unsupported` where it has no kernel for what was asked.
struct StatusError : std::runtime_error {
  StatusError(const std::string& message, bool unsupported) : std::runtime_error(message), unsupported(unsupported) {}
  bool unsupported;
};

// Extents and strides count elements; D is [m, n], op(A) [m, k], op(B) [k, n]; C has the layout of D.
struct ProductArguments {
  int64_t m, n, k;
  bool transpose_a, transpose_b;
  int64_t lda, ldb, ldd;
  int64_t batch, stride_a, stride_b, stride_d;
  int type, type_d, type_bias, compute, type_scale;
  uint32_t epilogue;
  int64_t bias_stride, aux_ld, aux_stride;
  double alpha, beta;
};

// Bytes that every address given to run() is a multiple of.
struct Alignments {
  uint32_t a = 256, b = 256, c = 256, d = 256, bias = 256, aux = 256;
};

struct Addresses {
  uintptr_t a, b, c, d, bias, aux;
};

struct Choice {
  size_t workspace;  // bytes
  float waves;       // how often the kernel's blocks fill the device
};

// Descriptors are made at once, and need no GPU; plan() asks the heuristic and needs a handle, hence a GPU; run() only
// enqueues: it allocates nothing and waits for nothing, and is legal while a stream is being captured.
class Product {
 public:
  explicit Product(const ProductArguments& arguments);
  ~Product();
  Product(const Product&) = delete;

  // Takes the best of at most `limit` algorithms that need at most `workspace` bytes; throws StatusError if none does.
  void plan(uintptr_t handle, size_t workspace, const Alignments& alignments, int limit);
  std::vector<Choice> choices() const;
  void choose(int64_t choice);  // std::out_of_range
  size_t workspace() const;     // bytes of the algorithm chosen; std::runtime_error before plan()
  void run(const Addresses& addresses, uintptr_t workspace, size_t workspace_bytes, uintptr_t stream);
  // Addresses in the descriptor, set by the last plan() or run().
  std::pair<uintptr_t, uintptr_t> bias_and_aux() const;

 private:
  template <class T>
  void set(lt::DescriptionAttribute attribute, const T& value);
  void point(uintptr_t bias, uintptr_t aux);
  lt::Layout layout(int type, int64_t rows, int64_t columns, int64_t ld, int64_t stride) const;
  void destroy();

  ProductArguments arguments_;
  lt::Handle handle_ = nullptr;
  lt::Description description_ = nullptr;
  lt::Layout a_ = nullptr, b_ = nullptr, d_ = nullptr;
  std::vector<lt::Heuristic> found_;
  size_t chosen_ = 0;
  Alignments alignments_;
  uintptr_t bias_ = 0, aux_ = 0;
};

}  // namespace cortex
