// A shared library opened at run time: nothing of CUDA is needed to build or to import the extension.
#pragma once
#include <string>
#include <vector>

namespace cortex {

class Library {
 public:
  explicit Library(const char* name) : name_(name) {}
  Library(const Library&) = delete;

  // Opens the first of the candidates that can be opened, once for the life of the process; returns the one that is
  // open. Throws std::runtime_error that lists every candidate with the loader's reason.
  const std::string& open(const std::vector<std::string>& candidates);
  // Throws std::runtime_error where the library is not open or lacks the symbol.
  void* symbol(const char* symbol) const;

 private:
  const char* name_;
  std::string opened_;
  void* handle_ = nullptr;  // never closed: plans and device code outlive whoever opened it
};

Library& cublaslt();
Library& cudnn();

}  // namespace cortex
