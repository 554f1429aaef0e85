// What NVIDIA's own headers say of the tables and types that Sinew relies on, a name and a number a line. Compile with -I
// and the folder of NvInfer.h, of TensorRT 8.5 or newer; `make check-tensorrt-headers` does.
//
// Every function is named with the arguments that Sinew passes, so that a header with others does not compile.

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

// A function of CLASS: its result, its name, its arguments, and what follows them.
#define PLACE(NAME, RESULT, CLASS, FUNCTION, ARGUMENTS, QUALIFIERS) \
    place(NAME, static_cast<RESULT (CLASS::*) ARGUMENTS QUALIFIERS noexcept>(&CLASS::FUNCTION))

int main() {
    using namespace nvinfer1;
    using apiv::VCudaEngine;
    using apiv::VExecutionContext;
    using apiv::VRuntime;
    // Thousands up to 8, ten thousands from 10 on.
    std::size_t const unit = NV_TENSORRT_MAJOR < 10 ? 1000 : 10000;
    number("version", NV_TENSORRT_MAJOR * unit + NV_TENSORRT_MINOR * 100 + NV_TENSORRT_PATCH);

#if NV_TENSORRT_MAJOR < 10
    PLACE("deserialize", ICudaEngine*, VRuntime, deserializeCudaEngine, (void const*, std::size_t, IPluginFactory*), );
    PLACE("create_context", IExecutionContext*, VCudaEngine, createExecutionContext, (), );
#else
    PLACE("deserialize", ICudaEngine*, VRuntime, deserializeCudaEngine, (void const*, std::size_t), );
    PLACE("create_context", IExecutionContext*, VCudaEngine, createExecutionContext, (ExecutionContextAllocationStrategy), );
    number("static_strategy", static_cast<std::size_t>(ExecutionContextAllocationStrategy::kSTATIC));
#endif
    PLACE("tensor_shape", Dims, VCudaEngine, getTensorShape, (char const*), const);
    PLACE("tensor_type", DataType, VCudaEngine, getTensorDataType, (char const*), const);
    PLACE("tensor_mode", TensorIOMode, VCudaEngine, getTensorIOMode, (char const*), const);
    PLACE("tensor_count", std::int32_t, VCudaEngine, getNbIOTensors, (), const);
    PLACE("tensor_name", char const*, VCudaEngine, getIOTensorName, (std::int32_t), const);
    PLACE("set_input_shape", bool, VExecutionContext, setInputShape, (char const*, Dims const&), );
    PLACE("context_shape", Dims, VExecutionContext, getTensorShape, (char const*), const);
    PLACE("set_address", bool, VExecutionContext, setTensorAddress, (char const*, void*), );
    PLACE("enqueue", bool, VExecutionContext, enqueueV3, (cudaStream_t), );
    PLACE("log", void, ILogger, log, (ILogger::Severity, AsciiChar const*), );

    number("dims_bytes", sizeof(Dims));
    number("dims_first_extent", offsetof(Dims, d));
    number("dims_extent_bytes", sizeof(Dims::d[0]));
    number("float", static_cast<std::size_t>(DataType::kFLOAT));
    number("int32", static_cast<std::size_t>(DataType::kINT32));
    number("input", static_cast<std::size_t>(TensorIOMode::kINPUT));
    number("output", static_cast<std::size_t>(TensorIOMode::kOUTPUT));
    return 0;
}
