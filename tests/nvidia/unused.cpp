// What NVIDIA's Python bindings want to find in TensorRT's libraries besides the objects that Sinew uses: functions that are
// looked up when the bindings are imported and never called here. PART_NAME chooses the library; without, libnvinfer's own.

#if defined(PART_nvinfer_plugin)
extern "C" void* getBuilderPluginRegistry(int) { return nullptr; }
extern "C" void* getPluginRegistry() { return nullptr; }
extern "C" int initLibNvInferPlugins(void*, char const*) { return 1; }
#elif defined(PART_nvonnxparser)
extern "C" int getNvOnnxParserVersion() { return 0; }
extern "C" void* createNvOnnxParser_INTERNAL(void*, void*, int) { return nullptr; }
extern "C" void* createNvOnnxParserRefitter_INTERNAL(void*, void*, int) { return nullptr; }
#elif defined(PART_nvparsers)
namespace nvuffparser {
enum class FieldType : int {};
class FieldMap {
  public:
    FieldMap(char const*, void const*, FieldType, int);
};
FieldMap::FieldMap(char const*, void const*, FieldType, int) {}
void* createUffParser() { return nullptr; }
}  // namespace nvuffparser
namespace nvcaffeparser1 {
void* createCaffeParser() { return nullptr; }
void shutdownProtobufLibrary() {}
}  // namespace nvcaffeparser1
#else
extern "C" void* createInferBuilder_INTERNAL(void*, int) { return nullptr; }
extern "C" void* createInferRefitter_INTERNAL(void*, void*, int) { return nullptr; }
#endif
