#include "registry.h"
namespace cortex { namespace CORTEX_ISA { static void nothing(const Call&, int64_t, int64_t) {} } }
CORTEX_KERNELS(copy, {"nothing", nothing})
