// The kernels whose units and scratch are planned from their integers, by name without the dtype.
#pragma once
#include <cstring>

#include "convolution_plans.h"
#include "winograd_plans.h"

namespace cortex {

struct Planned {
  const char* name;
  int64_t integers;  // how many the kernel takes
  Plan (*plan)(const int64_t* integer, int64_t element_bytes);
};

static inline Plan plane_plan(const int64_t* integer, int64_t) { return {integer[0], 0, 1}; }

constexpr Planned PLANNED[] = {{"matmul", 15, matmul_plan},
                               {"convolution", 18, convolution_plan},
                               {"convolution_input_gradient", 18, convolution_input_gradient_plan},
                               {"convolution_kernel_gradient", 18, convolution_kernel_gradient_plan},
                               {"sum_partials", 2, sum_partials_plan},
                               {"winograd_filter", FILTER_INTEGERS, winograd_filter_plan},
                               {"winograd_convolution", WINOGRAD_INTEGERS, winograd_convolution_plan},
                               {"winograd_source", WINOGRAD_INTEGERS, winograd_source_plan},
                               {"winograd_spread", WINOGRAD_INTEGERS, winograd_result_plan},
                               {"winograd_product", WINOGRAD_INTEGERS, winograd_product_plan},
                               {"winograd_result", WINOGRAD_INTEGERS, winograd_result_plan},
                               {"winograd_input_gradient", WINOGRAD_INTEGERS, winograd_input_gradient_plan},
                               {"winograd_correlate", WINOGRAD_INTEGERS, winograd_correlate_plan},
                               {"winograd_kernel", WINOGRAD_INTEGERS, winograd_kernel_plan},
                               {"max_pool", 14, plane_plan},
                               {"max_pool_gradient", 14, plane_plan},
                               {"average_pool", 14, plane_plan},
                               {"average_pool_gradient", 14, plane_plan}};

// nullptr: not one of them. `element_bytes` from the suffix _f32 or _f64.
static inline const Planned* find_planned(const char* kernel, int64_t* element_bytes) {
  const size_t length = std::strlen(kernel);
  if (length < 4) return nullptr;
  const char* suffix = kernel + length - 4;
  *element_bytes = std::strcmp(suffix, "_f32") == 0 ? 4 : std::strcmp(suffix, "_f64") == 0 ? 8 : 0;
  if (!*element_bytes) return nullptr;
  for (const Planned& one : PLANNED)
    if (std::strlen(one.name) == length - 4 && std::strncmp(one.name, kernel, length - 4) == 0) return &one;
  return nullptr;
}

}  // namespace cortex
