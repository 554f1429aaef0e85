// Written for the tests, and as little of TensorRT 8's interface as they need: places and arguments of what Sinew calls. It tries
// the comparison with headers; what it holds is compared with NVIDIA's own by whoever has them (docs/tensorrt.md).
#pragma once
#include <cstddef>
#include <cstdint>

#include "cuda_runtime_api.h"

#define NV_TENSORRT_MAJOR 8
#define NV_TENSORRT_MINOR 5
#define NV_TENSORRT_PATCH 2

// Other functions of the tables, which nothing here calls.
#define SKIP_1(NAME) virtual void NAME##_() noexcept = 0;
#define SKIP_2(NAME) SKIP_1(NAME##a) SKIP_1(NAME##b)
#define SKIP_6(NAME) SKIP_2(NAME##a) SKIP_2(NAME##b) SKIP_2(NAME##c)
#define SKIP_9(NAME) SKIP_6(NAME##a) SKIP_2(NAME##b) SKIP_1(NAME##c)
#define SKIP_11(NAME) SKIP_9(NAME##a) SKIP_2(NAME##b)
#define SKIP_22(NAME) SKIP_11(NAME##a) SKIP_11(NAME##b)
#define SKIP_27(NAME) SKIP_22(NAME##a) SKIP_2(NAME##b) SKIP_2(NAME##c) SKIP_1(NAME##d)

namespace nvinfer1 {

using AsciiChar = char;
class ICudaEngine;
class IExecutionContext;
class IPluginFactory;
enum class DataType : std::int32_t { kFLOAT = 0, kINT32 = 3 };
enum class TensorIOMode : std::int32_t { kNONE = 0, kINPUT = 1, kOUTPUT = 2 };
struct Dims {
    std::int32_t nbDims;
    std::int32_t d[8];
};

class ILogger {
  public:
    enum class Severity : std::int32_t { kERROR = 1 };
    virtual void log(Severity, AsciiChar const*) noexcept = 0;
    virtual ~ILogger() = default;
};

namespace apiv {

class VRuntime {
  public:
    virtual ~VRuntime() noexcept = default;
    virtual ICudaEngine* deserializeCudaEngine(void const*, std::size_t, IPluginFactory*) noexcept = 0;
};

class VCudaEngine {
  public:
    virtual ~VCudaEngine() noexcept = default;
    SKIP_9(vcudaengine2)
    virtual IExecutionContext* createExecutionContext() noexcept = 0;
    SKIP_22(vcudaengine12)
    virtual Dims getTensorShape(char const*) const noexcept = 0;
    virtual DataType getTensorDataType(char const*) const noexcept = 0;
    SKIP_2(vcudaengine36)
    virtual TensorIOMode getTensorIOMode(char const*) const noexcept = 0;
    SKIP_6(vcudaengine39)
    virtual std::int32_t getNbIOTensors() const noexcept = 0;
    virtual char const* getIOTensorName(std::int32_t) const noexcept = 0;
};

class VExecutionContext {
  public:
    virtual ~VExecutionContext() noexcept = default;
    SKIP_27(vexecutioncontext2)
    virtual bool setInputShape(char const*, Dims const&) noexcept = 0;
    virtual Dims getTensorShape(char const*) const noexcept = 0;
    SKIP_1(vexecutioncontext31)
    virtual bool setTensorAddress(char const*, void*) noexcept = 0;
    SKIP_11(vexecutioncontext33)
    virtual bool enqueueV3(cudaStream_t) noexcept = 0;
};

} // namespace apiv
} // namespace nvinfer1
