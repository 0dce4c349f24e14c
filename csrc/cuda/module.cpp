// The Python side of the bindings of CUDA's libraries: cortex.gpu_compute._cuda. Documented in gpu_compute/_cuda.pyi.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "cublaslt.h"
#include "library.h"
#include "product.h"

namespace py = pybind11;
using cortex::Product;

namespace {

cortex::Library& library_called(const std::string& name) {
  if (name == "cublasLt") return cortex::cublaslt();
  if (name == "cudnn") return cortex::cudnn();
  throw py::value_error("expected the library cublasLt or cudnn, given \"" + name + "\"");
}

size_t library_version(const std::string& name) {
  cortex::Library& library = library_called(name);
  const char* entry = name == "cudnn" ? "cudnnGetVersion" : "cublasLtGetVersion";
  return reinterpret_cast<size_t (*)()>(library.symbol(entry))();
}

uintptr_t create_handle() {
  cortex::lt::Handle handle = nullptr;
  cortex::lt::check(cortex::lt::create(&handle), "cublasLtCreate");
  return reinterpret_cast<uintptr_t>(handle);
}

std::vector<std::tuple<size_t, float>> choices(const Product& self) {
  std::vector<std::tuple<size_t, float>> all;
  for (const cortex::Choice& one : self.choices()) all.emplace_back(one.workspace, one.waves);
  return all;
}

// What tests compare with an installed cublasLt.h.
py::dict constants() {
  using namespace cortex::lt;
  py::dict all;
#define CONSTANT(prefix, name) all[#prefix #name] = int(name)
  CONSTANT(CUBLAS_, OP_N);
  CONSTANT(CUBLAS_, OP_T);
  CONSTANT(CUBLAS_, STATUS_SUCCESS);
  CONSTANT(CUBLAS_, STATUS_INVALID_VALUE);
  CONSTANT(CUBLAS_, STATUS_NOT_SUPPORTED);
  CONSTANT(CUBLAS_, COMPUTE_32F);
  CONSTANT(CUBLAS_, COMPUTE_64F);
  CONSTANT(CUBLAS_, COMPUTE_32F_FAST_TF32);
  CONSTANT(CUDA_, R_32F);
  CONSTANT(CUDA_, R_64F);
  CONSTANT(CUDA_, R_16F);
  CONSTANT(CUDA_, R_16BF);
  CONSTANT(CUBLASLT_MATRIX_, LAYOUT_BATCH_COUNT);
  CONSTANT(CUBLASLT_MATRIX_, LAYOUT_STRIDED_BATCH_OFFSET);
  CONSTANT(CUBLASLT_MATMUL_, DESC_TRANSA);
  CONSTANT(CUBLASLT_MATMUL_, DESC_TRANSB);
  CONSTANT(CUBLASLT_MATMUL_, DESC_EPILOGUE);
  CONSTANT(CUBLASLT_MATMUL_, DESC_BIAS_POINTER);
  CONSTANT(CUBLASLT_MATMUL_, DESC_BIAS_BATCH_STRIDE);
  CONSTANT(CUBLASLT_MATMUL_, DESC_EPILOGUE_AUX_POINTER);
  CONSTANT(CUBLASLT_MATMUL_, DESC_EPILOGUE_AUX_LD);
  CONSTANT(CUBLASLT_MATMUL_, DESC_EPILOGUE_AUX_BATCH_STRIDE);
  CONSTANT(CUBLASLT_MATMUL_, DESC_BIAS_DATA_TYPE);
  CONSTANT(CUBLASLT_MATMUL_, PREF_MAX_WORKSPACE_BYTES);
  CONSTANT(CUBLASLT_MATMUL_, PREF_MIN_ALIGNMENT_A_BYTES);
  CONSTANT(CUBLASLT_MATMUL_, PREF_MIN_ALIGNMENT_B_BYTES);
  CONSTANT(CUBLASLT_MATMUL_, PREF_MIN_ALIGNMENT_C_BYTES);
  CONSTANT(CUBLASLT_MATMUL_, PREF_MIN_ALIGNMENT_D_BYTES);
  CONSTANT(CUBLASLT_, EPILOGUE_DEFAULT);
  CONSTANT(CUBLASLT_, EPILOGUE_RELU);
  CONSTANT(CUBLASLT_, EPILOGUE_BIAS);
  CONSTANT(CUBLASLT_, EPILOGUE_RELU_BIAS);
  CONSTANT(CUBLASLT_, EPILOGUE_GELU);
  CONSTANT(CUBLASLT_, EPILOGUE_GELU_BIAS);
  CONSTANT(CUBLASLT_, EPILOGUE_RELU_AUX);
  CONSTANT(CUBLASLT_, EPILOGUE_RELU_AUX_BIAS);
  CONSTANT(CUBLASLT_, EPILOGUE_DRELU);
  CONSTANT(CUBLASLT_, EPILOGUE_DRELU_BGRAD);
  CONSTANT(CUBLASLT_, EPILOGUE_GELU_AUX);
  CONSTANT(CUBLASLT_, EPILOGUE_GELU_AUX_BIAS);
  CONSTANT(CUBLASLT_, EPILOGUE_DGELU);
  CONSTANT(CUBLASLT_, EPILOGUE_DGELU_BGRAD);
  CONSTANT(CUBLASLT_, EPILOGUE_BGRADA);
  CONSTANT(CUBLASLT_, EPILOGUE_BGRADB);
#undef CONSTANT
  return all;
}

}  // namespace

PYBIND11_MODULE(_cuda, m) {
  using namespace py::literals;
  m.attr("version") = CORTEX_VERSION;
  m.attr("constants") = constants();
  m.def("open_library",
        [](const std::string& name, const std::vector<std::string>& names) { return library_called(name).open(names); },
        "name"_a, "names"_a);
  m.def("library_version", library_version, "name"_a);
  m.def("create_handle", create_handle);

  static py::exception<cortex::StatusError> status_error(m, "StatusError", PyExc_RuntimeError);
  static py::exception<cortex::StatusError> unsupported(m, "Unsupported", status_error);
  py::register_exception_translator([](std::exception_ptr raised) {
    try {
      if (raised) std::rethrow_exception(raised);
    } catch (const cortex::StatusError& error) {
      py::set_error(error.unsupported ? unsupported : status_error, error.what());
    }
  });

  py::class_<Product>(m, "Product")
      .def(py::init([](int64_t rows, int64_t columns, int64_t inner, bool transpose_a, bool transpose_b, int64_t lda,
                       int64_t ldb, int64_t ldd, int64_t batch, int64_t stride_a, int64_t stride_b, int64_t stride_d,
                       int type, int type_d, int type_bias, int compute, int type_scale, uint32_t epilogue,
                       int64_t bias_stride, int64_t aux_ld, int64_t aux_stride, double alpha, double beta) {
             return std::make_unique<Product>(cortex::ProductArguments{
                 rows,     columns, inner,     transpose_a, transpose_b, lda,        ldb,      ldd,
                 batch,    stride_a, stride_b, stride_d,    type,        type_d,     type_bias, compute,
                 type_scale, epilogue, bias_stride, aux_ld, aux_stride,  alpha,      beta});
           }),
           py::kw_only(), "m"_a, "n"_a, "k"_a, "transpose_a"_a, "transpose_b"_a, "lda"_a, "ldb"_a, "ldd"_a,
           "batch"_a, "stride_a"_a, "stride_b"_a, "stride_d"_a, "type"_a, "type_d"_a, "type_bias"_a, "compute"_a,
           "type_scale"_a, "epilogue"_a, "bias_stride"_a, "aux_ld"_a, "aux_stride"_a, "alpha"_a, "beta"_a)
      .def("plan",
           [](Product& self, uintptr_t handle, size_t workspace, uint32_t a, uint32_t b, uint32_t c, uint32_t d,
              uint32_t bias, uint32_t aux, int limit) {
             self.plan(handle, workspace, cortex::Alignments{a, b, c, d, bias, aux}, limit);
           },
           "handle"_a, "workspace"_a, py::kw_only(), "a"_a = 256, "b"_a = 256, "c"_a = 256, "d"_a = 256,
           "bias"_a = 256, "aux"_a = 256, "limit"_a = 8)
      .def("choices", choices)
      .def("choose", &Product::choose, "choice"_a)
      .def_property_readonly("workspace", &Product::workspace)
      .def("bias_and_aux", &Product::bias_and_aux)
      .def("run",
           [](Product& self, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t bias, uintptr_t aux,
              uintptr_t workspace, size_t workspace_bytes, uintptr_t stream) {
             self.run(cortex::Addresses{a, b, c, d, bias, aux}, workspace, workspace_bytes, stream);
           },
           "a"_a, "b"_a, "c"_a, "d"_a, "bias"_a, "aux"_a, "workspace"_a, "workspace_bytes"_a, "stream"_a);
}
