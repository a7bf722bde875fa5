// Conf files, read as shuntd reads them.
#include <sys/mman.h>
#include <unistd.h>

#include "control/conf.h"
#include "fuzzing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shunt::control;
  if (size > 4096) return 0;
  static const int file = memfd_create("conf", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  MUST(file >= 0 && ftruncate(file, 0) == 0);
  MUST(pwrite(file, data, size, 0) == static_cast<ssize_t>(size));
  const char* const words[] = {"shuntd", "--conf", path.c_str()};
  auto conf = parse_conf(3, words);
  if (conf) {
    MUST(conf->workers > 0);
    for (const PortConf& port : conf->ports) MUST(!port.devargs(conf->workers).empty());
  } else {
    MUST(conf.error().status == 2 && !conf.error().message.empty());
  }
  return 0;
}
