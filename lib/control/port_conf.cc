// What a port of the conf file means for DPDK: its device's arguments and queues.
#include <algorithm>
#include <charconv>

#include "control/conf.h"
#include "share/bounds.h"

namespace shunt::control {

std::string PortConf::interface() const {
  if (kind == kInterface) return device;
  if (kind != kVdev || device.rfind("net_af_packet", 0) != 0) return "";
  size_t at = device.find(",iface=");
  if (at == device.npos) return "";
  at += std::string(",iface=").size();
  return device.substr(at, device.find(',', at) - at);
}

std::string PortConf::devargs(unsigned workers) const {
  if (kind != kInterface) return device;
  // The vdev's name begins with its driver's; ours cannot clash with one a user wrote out.
  return "net_af_packet_" + name + ",iface=" + device +
         ",blocksz=65536,framesz=2048,framecnt=4096,qpairs=" + std::to_string(queues(workers));
}

unsigned PortConf::queues(unsigned workers) const {
  if (kind == kInterface) return std::min(workers, share::kMaxPacketQueues);
  if (interface().empty()) return workers;
  constexpr std::string_view kPairs = ",qpairs=";
  const size_t at = device.find(kPairs);
  unsigned pairs = 1;  // the driver's default
  if (at != device.npos)
    std::from_chars(device.data() + at + kPairs.size(), device.data() + device.size(), pairs);
  return pairs;
}

}  // namespace shunt::control
