// Where tunnels end, by server id: what a session has no room for.
//
// Writer: control, before the server is in a published table. Readers: workers. A server's address
// is its identity and stays as long as its id does; how packets travel to it may be edited, under
// its sessions too, as in IPVS, and is one word.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/address.h"
#include "ipvs/service_table.h"
#include "net/encapsulate.h"
#include "share/changes.h"
#include "share/zero_rows.h"

namespace shunt::share {

struct FarEnd {
  Address address;
  net::Tunnel tunnel;
};

class FarEnds {
 public:
  void set(uint32_t server_id, const FarEnd& end) {
    Row& row = x_rows[server_id];
    // Written anew only when the id has become another server's: then no worker has it.
    if (row.address != end.address) row.address = end.address;
    const uint32_t word = pack(end.tunnel);
    if (word == row.tunnel.load(std::memory_order_relaxed)) return;
    row.tunnel.store(word, std::memory_order_relaxed);
    x_changes.add();
  }
  const Address& address(uint32_t server_id) const { return x_rows[server_id].address; }
  net::Tunnel tunnel(uint32_t server_id) const { return unpack(word(server_id)); }
  /// A server's tunnel as one word, pack() of it, which may change at any time.
  uint32_t word(uint32_t server_id) const {
    return x_rows[server_id].tunnel.load(std::memory_order_relaxed);
  }
  /// Of tunnels.
  const Changes& changes() const { return x_changes; }
  static uint32_t pack(const net::Tunnel& tunnel) {
    return uint32_t{tunnel.port} | uint32_t{tunnel.has_checksum} << 16 |
           static_cast<uint32_t>(tunnel.type) << 24;
  }

 private:
  struct Row {
    Address address;
    std::atomic<uint32_t> tunnel;
  };
  static net::Tunnel unpack(uint32_t word) {
    return {static_cast<net::TunnelType>(word >> 24), (word >> 16 & 1) != 0,
            static_cast<uint16_t>(word)};
  }

  ZeroRows<Row> x_rows{ipvs::kMaxServers};
  Changes x_changes;
};

}  // namespace shunt::share
