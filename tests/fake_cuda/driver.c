/* What torch asks of CUDA before any kernel runs, answered as by one device that is always ready.
   No memory, no kernels: tensors of the pretended device have their values on the CPU. */
#include <string.h>

typedef int Status;
typedef void *Handle;

Status cudaGetDeviceCount(int *count) { *count = 1; return 0; }
Status cudaGetDevice(int *device) { *device = 0; return 0; }
Status cudaSetDevice(int device) { return 0; }
Status cudaGetLastError(void) { return 0; }
Status cudaPeekAtLastError(void) { return 0; }
Status cudaDriverGetVersion(int *version) { *version = 13000; return 0; }
Status cudaRuntimeGetVersion(int *version) { *version = 13000; return 0; }
Status cudaGetDeviceProperties(void *properties, int device) { memset(properties, 0, 1008); return 0; }
Status cudaMalloc(Handle *memory, unsigned long bytes) { *memory = 0; return 2; }
Status cudaDeviceSynchronize(void) { return 0; }

Status cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -3; return 0; }
Status cudaStreamCreateWithPriority(Handle *stream, unsigned flags, int priority) { *stream = (Handle)0x1000; return 0; }
Status cudaStreamWaitEvent(Handle stream, Handle event, unsigned flags) { return 0; }
Status cudaStreamQuery(Handle stream) { return 0; }
Status cudaStreamSynchronize(Handle stream) { return 0; }
Status cudaStreamIsCapturing(Handle stream, int *status) { *status = 0; return 0; }

Status cudaEventCreateWithFlags(Handle *event, unsigned flags) { *event = (Handle)0x2000; return 0; }
Status cudaEventDestroy(Handle event) { return 0; }
Status cudaEventRecord(Handle event, Handle stream) { return 0; }
Status cudaEventQuery(Handle event) { return 0; }
Status cudaEventSynchronize(Handle event) { return 0; }

Status cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 1; return 0; }
