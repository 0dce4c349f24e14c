#include "registry.h"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#define FAMILY(name)                       \
  extern const Registered name##_kernels[]; \
  extern const int name##_count;
namespace cortex {
namespace isa_base {
#include "families.inc"
}
#ifdef CORTEX_X86
namespace isa_avx2 {
#include "families.inc"
}
namespace isa_avx512 {
#include "families.inc"
}
#endif
#undef FAMILY

namespace {

struct Family {
  const Registered* kernels;
  const int* count;
};

#ifndef CORTEX_X86  // one copy only; the other names are never available
namespace isa_avx2 = isa_base;
namespace isa_avx512 = isa_base;
#endif
#define FAMILY(name) {isa_base::name##_kernels, &isa_base::name##_count},
const Family base_families[] = {
#include "families.inc"
};
#undef FAMILY
#define FAMILY(name) {isa_avx2::name##_kernels, &isa_avx2::name##_count},
const Family avx2_families[] = {
#include "families.inc"
};
#undef FAMILY
#define FAMILY(name) {isa_avx512::name##_kernels, &isa_avx512::name##_count},
const Family avx512_families[] = {
#include "families.inc"
};
#undef FAMILY

const Family* const families[ISA_COUNT] = {base_families, avx2_families, avx512_families};
const int family_count = int(sizeof(base_families) / sizeof(Family));

// The best one that the processor has and that is not above the wish.
Isa best_isa() {
  const char* variable = std::getenv("CORTEX_ISA");
  int isa = ISA_COUNT - 1;
  if (variable && *variable)
    while (isa >= 0 && std::strcmp(variable, isa_name(Isa(isa))) != 0) isa--;
  if (isa < 0)
    throw std::invalid_argument(std::string("CORTEX_ISA must be base, avx2 or avx512, not \"") + variable +
                                "\"; correct or unset it");
  while (!isa_available(Isa(isa))) isa--;
  return Isa(isa);
}

int chosen = -1;  // nothing is asked of the processor before the first use

}  // namespace

const char* isa_name(Isa isa) {
  static const char* const names[ISA_COUNT] = {"base", "avx2", "avx512"};
  return names[isa];
}

bool isa_available(Isa isa) {
  if (isa == ISA_BASE) return true;
#ifdef CORTEX_X86
  __builtin_cpu_init();
  if (isa == ISA_AVX2) return __builtin_cpu_supports("x86-64-v3");
  if (isa == ISA_AVX512) return __builtin_cpu_supports("x86-64-v4");
#endif
  return false;
}

Isa current_isa() {
  if (chosen < 0) chosen = best_isa();
  return Isa(chosen);
}

bool set_isa(Isa isa) {
  if (!isa_available(isa)) return false;
  chosen = isa;
  return true;
}

Kernel* find_kernel(const char* name, Isa isa) {
  for (int f = 0; f < family_count; f++)
    for (int k = 0; k < *families[isa][f].count; k++)
      if (std::strcmp(families[isa][f].kernels[k].name, name) == 0) return families[isa][f].kernels[k].kernel;
  return nullptr;
}

int kernel_count() {
  int total = 0;
  for (int f = 0; f < family_count; f++) total += *base_families[f].count;
  return total;
}

const char* kernel_name(int index) {
  for (int f = 0; f < family_count; f++) {
    if (index < *base_families[f].count) return base_families[f].kernels[index].name;
    index -= *base_families[f].count;
  }
  return nullptr;
}

}  // namespace cortex
