// Leaves fragments as they came on net_af_packet ports with more than one queue.
//
// That driver asks the kernel to put IPv4 fragments together before it spreads packets over the
// queues, and no argument of its turns that off (DPDK 22.11, drivers/net/af_packet). What the
// kernel puts together, up to 64 KB, is cut to a frame of the driver's ring and lost; while our
// workers bring fragments to their flow's owner by themselves. So the flag is taken out of the
// request on its way: DPDK is a shared library, and this definition comes before libc's.
// Everything else passes unchanged. Callers: whoever calls setsockopt() in this process.
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

extern "C" __attribute__((visibility("default"))) int setsockopt(int fd, int level, int name,
                                                                 const void* value,
                                                                 socklen_t length) noexcept {
  unsigned fanout;  // group | (mode | flags) << 16, packet(7)
  if (level == SOL_PACKET && name == PACKET_FANOUT && length == sizeof fanout) {
    std::memcpy(&fanout, value, sizeof fanout);
    fanout &= ~(unsigned{PACKET_FANOUT_FLAG_DEFRAG} << 16);
    value = &fanout;
  }
  return static_cast<int>(syscall(SYS_setsockopt, fd, level, name, value, length));
}
