// The Python side of the CPU engine: cortex.compute._native. Documented in compute/_native.pyi.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <string>
#include <vector>

#include "executor.h"
#include "planned.h"
#include "pool.h"
#include "registry.h"

namespace py = pybind11;
using cortex::Instruction;
using cortex::Isa;
typedef std::vector<uintptr_t> Addresses;

namespace {

#define CORTEX_TEXT_(x) #x
#define CORTEX_TEXT(x) CORTEX_TEXT_(x)
#ifdef __clang__
const char COMPILER[] = "clang " CORTEX_TEXT(__clang_major__) "." CORTEX_TEXT(__clang_minor__);
#else
const char COMPILER[] = "gcc " CORTEX_TEXT(__GNUC__) "." CORTEX_TEXT(__GNUC_MINOR__);
#endif

// Executor and the Python functions it calls, which the garbage collector must see: they often lead back to it.
struct PythonExecutor : cortex::Executor {
  using Executor::Executor;
  std::deque<py::object> callables;  // a deque: instructions hold the addresses of its elements
};

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (int i = 0; i < cortex::kernel_count(); i++) names.push_back(cortex::kernel_name(i));
  return names;
}

std::string near_names(const std::string& name) {
  const py::list near = py::module_::import("difflib").attr("get_close_matches")(name, kernel_names(), 3, 0.5);
  if (near.empty()) return "kernels() lists all names";
  return "did you mean " + py::str(", ").attr("join")(near).cast<std::string>() + "?";
}

cortex::Kernel* kernel_called(const std::string& name) {
  if (cortex::Kernel* kernel = cortex::find_kernel(name.c_str(), cortex::current_isa())) return kernel;
  throw py::value_error("no kernel is called \"" + name + "\": " + near_names(name));
}

Instruction instruction_of(std::string name, const Addresses& buffers, std::vector<int64_t> integers,
                           std::vector<double> reals, int64_t units, int64_t grain, int64_t scratch) {
  if (units < 0 || grain < 1 || scratch < 0)
    throw py::value_error(name + ": expected units >= 0, grain >= 1 and scratch >= 0, given units=" +
                          std::to_string(units) + ", grain=" + std::to_string(grain) + ", scratch=" +
                          std::to_string(scratch));
  Instruction made;
  made.name = std::move(name);
  for (uintptr_t address : buffers) made.buffers.push_back(reinterpret_cast<void*>(address));
  made.integers = std::move(integers);
  made.reals = std::move(reals);
  made.units = units;
  made.grain = grain;
  made.scratch = scratch;
  return made;
}

int64_t add(PythonExecutor& self, const std::string& kernel, const Addresses& buffers,
            std::vector<int64_t> integers, std::vector<double> reals, int64_t units, int64_t grain, int64_t scratch) {
  Instruction made =
      instruction_of(kernel, buffers, std::move(integers), std::move(reals), units, grain, scratch);
  made.kernel = kernel_called(kernel);
  return self.add(std::move(made));
}

int64_t add_function(PythonExecutor& self, uintptr_t address, const Addresses& buffers,
                     std::vector<int64_t> integers, std::vector<double> reals, int64_t units, int64_t grain,
                     const std::string& name) {
  if (!address) throw py::value_error(name + ": the address of the function is 0");
  Instruction made = instruction_of(name, buffers, std::move(integers), std::move(reals), units, grain, 0);
  made.function = reinterpret_cast<cortex::Function*>(address);
  return self.add(std::move(made));
}

void call_python(void* context) {
  py::gil_scoped_acquire locked;
  (*static_cast<py::object*>(context))();
}

int64_t add_python(PythonExecutor& self, py::function callable, const std::string& name) {
  self.callables.push_back(callable);
  Instruction made = instruction_of(name, {}, {}, {}, 1, 1, 0);
  made.callback = call_python;
  made.context = &self.callables.back();
  return self.add(std::move(made));
}

void run(PythonExecutor& self) {
  py::gil_scoped_release unlocked;
  self.run();
}

std::vector<double> profile(PythonExecutor& self) {
  std::vector<double> seconds(self.instructions().size());
  py::gil_scoped_release unlocked;
  self.run(seconds.data());
  return seconds;
}

std::vector<std::string> instruction_names(const PythonExecutor& self) {
  std::vector<std::string> names;
  for (const Instruction& one : self.instructions()) names.push_back(one.name);
  return names;
}

void run_kernel(const std::string& kernel, const Addresses& buffers, std::vector<int64_t> integers,
                std::vector<double> reals, int64_t units, int64_t grain, int64_t scratch) {
  PythonExecutor executor;
  add(executor, kernel, buffers, std::move(integers), std::move(reals), units, grain, scratch);
  run(executor);
}

// A contiguous buffer of Python's, held while this lives; false where the object is none.
struct Contiguous {
  Py_buffer view;
  const bool there;
  Contiguous(const py::handle& object, int flags) : there(PyObject_GetBuffer(object.ptr(), &view, flags) == 0) {
    if (!there) PyErr_Clear();
  }
  ~Contiguous() {
    if (there) PyBuffer_Release(&view);
  }
  Contiguous(const Contiguous&) = delete;
  explicit operator bool() const { return there; }
};

bool alike(const Py_buffer& a, const Py_buffer& b) {
  return a.ndim == b.ndim && std::equal(a.shape, a.shape + a.ndim, b.shape) && std::strcmp(a.format, b.format) == 0;
}

// What all cores have just read is slow to write, and half as slow for two (docs/performance.md).
constexpr int64_t COPIED_TOGETHER = 256 << 10, CHUNK = 64 << 10;

bool copy(const py::handle& target, const py::handle& given) {
  struct Copied {
    char* to;
    const char* from;
    int64_t size;
  };
  const Contiguous to(target, PyBUF_CONTIG | PyBUF_FORMAT), from(given, PyBUF_CONTIG_RO | PyBUF_FORMAT);
  if (!to || !from || !alike(to.view, from.view)) return false;
  const Copied all = {static_cast<char*>(to.view.buf), static_cast<const char*>(from.view.buf), int64_t(to.view.len)};
  const auto body = [](const void* context, int, int64_t start, int64_t stop) {
    const Copied& c = *static_cast<const Copied*>(context);
    const int64_t begin = start * CHUNK, end = stop * CHUNK < c.size ? stop * CHUNK : c.size;
    std::memcpy(c.to + begin, c.from + begin, size_t(end - begin));
  };
  py::gil_scoped_release unlocked;
  const int64_t chunks = (all.size + CHUNK - 1) / CHUNK;
  cortex::parallel(body, &all, chunks, all.size < COPIED_TOGETHER ? chunks : 1, cortex::num_threads());
  return true;
}

py::tuple plan(const std::string& kernel, const std::vector<int64_t>& integers) {
  int64_t element = 0;
  const cortex::Planned* planned = cortex::find_planned(kernel.c_str(), &element);
  if (!planned)
    throw py::value_error("plan: \"" + kernel + "\" is not a kernel whose work is planned: " + near_names(kernel));
  if (int64_t(integers.size()) != planned->integers)
    throw py::value_error("plan: " + kernel + " takes " + std::to_string(planned->integers) + " integers, given " +
                          std::to_string(integers.size()));
  const cortex::Plan plan = planned->plan(integers.data(), element);
  return py::make_tuple(plan.units, plan.scratch, plan.parts);
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (int isa = 0; isa < cortex::ISA_COUNT; isa++)
    if (cortex::isa_available(Isa(isa))) names.push_back(cortex::isa_name(Isa(isa)));
  return names;
}

void set_isa(const std::string& name) {
  for (int isa = 0; isa < cortex::ISA_COUNT; isa++)
    if (name == cortex::isa_name(Isa(isa)) && cortex::set_isa(Isa(isa))) return;
  throw py::value_error("set_isa: expected one of " + py::str(py::cast(available_isas())).cast<std::string>() +
                        " (what this processor runs), given \"" + name + "\"");
}

void set_num_threads(int threads) {
  if (threads < 1 || threads > cortex::MAX_THREADS)
    throw py::value_error("set_num_threads: expected 1 to " + std::to_string(cortex::MAX_THREADS) + ", given " +
                          std::to_string(threads));
  cortex::set_num_threads(threads);
}

// Lets the garbage collector find cycles executor -> callable -> executor.
int traverse(PyObject* self, visitproc visit, void* arg) {
#if PY_VERSION_HEX >= 0x03090000
  Py_VISIT(Py_TYPE(self));
#endif
  if (py::detail::is_holder_constructed(self))
    for (const py::object& callable : py::cast<PythonExecutor&>(py::handle(self)).callables)
      Py_VISIT(callable.ptr());
  return 0;
}

int clear(PyObject* self) {
  if (!py::detail::is_holder_constructed(self)) return 0;
  for (py::object& callable : py::cast<PythonExecutor&>(py::handle(self)).callables) callable = py::none();
  return 0;
}

void collect(PyHeapTypeObject* heap_type) {
  heap_type->ht_type.tp_flags |= Py_TPFLAGS_HAVE_GC;
  heap_type->ht_type.tp_traverse = traverse;
  heap_type->ht_type.tp_clear = clear;
}

}  // namespace

PYBIND11_MODULE(_native, m) {
  using namespace py::literals;
  py::class_<PythonExecutor>(m, "Executor", py::custom_type_setup(collect))
      .def(py::init<bool>(), "denormals"_a = true)
      .def("add", add, "kernel"_a, "buffers"_a, "integers"_a, "reals"_a, "units"_a, "grain"_a = 1, "scratch"_a = 0)
      .def("add_function", add_function, "address"_a, "buffers"_a, "integers"_a, "reals"_a, "units"_a, "grain"_a = 1,
           "name"_a = "function")
      .def("add_python", add_python, "callable"_a, "name"_a = "python")
      .def("set_buffer",
           [](PythonExecutor& self, int64_t instruction, int64_t operand, uintptr_t address) {
             self.set_buffer(instruction, operand, reinterpret_cast<void*>(address));
           },
           "instruction"_a, "operand"_a, "address"_a)
      .def("set_stretches",
           [](PythonExecutor& self, int64_t instruction, std::vector<int64_t> stretches) {
             self.set_stretches(instruction, std::move(stretches));
           },
           "instruction"_a, "stretches"_a)
      .def("run", [](PythonExecutor& self) { run(self); })
      .def("profile", profile)
      .def("kernel_names", instruction_names)
      .def_property_readonly("scratch_bytes", &PythonExecutor::scratch_bytes)
      .def("__len__", [](const PythonExecutor& self) { return self.instructions().size(); });

  m.def("copy", copy, "target"_a, "given"_a);
  m.def("run_kernel", run_kernel, "name"_a, "buffers"_a, "integers"_a, "reals"_a, "units"_a, "grain"_a = 1,
        "scratch"_a = 0);
  m.def("plan", plan, "name"_a, "integers"_a);
  m.def("kernels", kernel_names);
  m.def("isa", [] { return cortex::isa_name(cortex::current_isa()); });
  m.def("available_isas", available_isas);
  m.def("set_isa", set_isa, "name"_a);
  m.def("get_num_threads", cortex::num_threads);
  m.def("set_num_threads", set_num_threads, "threads"_a);
  m.def("available_cores", cortex::available_cores);
  m.attr("version") = CORTEX_VERSION;
  m.attr("compiler") = COMPILER;
}
