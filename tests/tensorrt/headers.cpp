// What NVIDIA's own headers say of the tables and types that Sinew relies on, a name and a number a line. Compile with -I
// and the folder of NvInfer.h, of TensorRT 10 or newer; `make check-tensorrt-headers` does.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#include "NvInfer.h"
#pragma GCC diagnostic pop

namespace {

// The place of a virtual function in its object's table: where the ABI of C++ on Linux has it, a pointer to a member is the
// offset in bytes, plus one on x86-64; on aarch64 the offset itself.
template <class Function>
void place(char const* name, Function function) {
    std::uintptr_t words[2];
    static_assert(sizeof words == sizeof function, "a pointer to a member function is two words");
    std::memcpy(words, &function, sizeof words);
#if defined(__aarch64__)
    std::uintptr_t const offset = words[0];
#else
    std::uintptr_t const offset = words[0] - 1;
#endif
    std::printf("%s %zu\n", name, static_cast<std::size_t>(offset / sizeof(void*)));
}

void number(char const* name, std::size_t value) { std::printf("%s %zu\n", name, value); }

} // namespace

int main() {
    using namespace nvinfer1;
    using apiv::VCudaEngine;
    using apiv::VExecutionContext;
    using apiv::VRuntime;
    number("version", NV_TENSORRT_MAJOR * 10000 + NV_TENSORRT_MINOR * 100 + NV_TENSORRT_PATCH);

    using Deserialize = ICudaEngine* (VRuntime::*)(void const*, std::size_t) noexcept;
    place("deserialize", static_cast<Deserialize>(&VRuntime::deserializeCudaEngine));
    using Context = IExecutionContext* (VCudaEngine::*)(ExecutionContextAllocationStrategy) noexcept;
    place("create_context", static_cast<Context>(&VCudaEngine::createExecutionContext));
    place("tensor_shape", &VCudaEngine::getTensorShape);
    place("tensor_type", &VCudaEngine::getTensorDataType);
    place("tensor_mode", &VCudaEngine::getTensorIOMode);
    place("tensor_count", &VCudaEngine::getNbIOTensors);
    place("tensor_name", &VCudaEngine::getIOTensorName);
    place("set_input_shape", &VExecutionContext::setInputShape);
    place("context_shape", &VExecutionContext::getTensorShape);
    place("set_address", &VExecutionContext::setTensorAddress);
    place("enqueue", &VExecutionContext::enqueueV3);
    place("log", &ILogger::log);

    number("dims_bytes", sizeof(Dims));
    number("dims_first_extent", offsetof(Dims, d));
    number("dims_extent_bytes", sizeof(Dims::d[0]));
    number("float", static_cast<std::size_t>(DataType::kFLOAT));
    number("int32", static_cast<std::size_t>(DataType::kINT32));
    number("input", static_cast<std::size_t>(TensorIOMode::kINPUT));
    number("output", static_cast<std::size_t>(TensorIOMode::kOUTPUT));
    number("static_strategy", static_cast<std::size_t>(ExecutionContextAllocationStrategy::kSTATIC));
    return 0;
}
