#include "library.h"

#include <dlfcn.h>

#include <stdexcept>

namespace cortex {

const std::string& Library::open(const std::vector<std::string>& candidates) {
  if (handle_) return opened_;
  std::string tried;
  for (const std::string& candidate : candidates) {
    handle_ = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_) return opened_ = candidate;
    const char* reason = dlerror();
    tried += "\n  " + candidate + ": " + (reason ? reason : "no reason given");
  }
  throw std::runtime_error(std::string(name_) + " cannot be opened; tried:" + (tried.empty() ? " nothing" : tried));
}

void* Library::symbol(const char* symbol) const {
  if (!handle_)
    throw std::runtime_error(std::string(name_) + " is not open: call open_library(\"" + name_ + "\", names) first");
  if (void* found = dlsym(handle_, symbol)) return found;
  throw std::runtime_error(opened_ + " has no function " + symbol + ": a version of " + name_ + " that is too old");
}

Library& cublaslt() {
  static Library library("cublasLt");
  return library;
}

Library& cudnn() {
  static Library library("cudnn");
  return library;
}

}  // namespace cortex
