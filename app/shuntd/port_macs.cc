#include "port_macs.h"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace shunt::daemon {

void PortMacs::set(const std::vector<control::TwinMac>& macs) {
  std::map<Key, std::string> wanted, refused;
  for (const control::TwinMac& mac : macs)
    // A macvlan in mode passthru has its twin's.
    if (mac.mac != x_engine.ports()[mac.port].nic->mac())
      wanted.emplace(Key{mac.port, mac.mac}, mac.interface);
  for (auto i = x_macs.begin(); i != x_macs.end();) {
    if (wanted.contains(i->first)) {
      ++i;
      continue;
    }
    remove(i->first, i->second);
    i = x_macs.erase(i);
  }
  for (const auto& [key, interface] : wanted) {
    if (x_macs.contains(key)) continue;
    const auto of_port =
        std::count_if(x_macs.begin(), x_macs.end(),
                      [port = key.first](const auto& other) { return other.first.first == port; });
    if (of_port < share::kMaxFurtherMacs) {
      add(key, interface);
      x_macs[key] = interface;
      continue;
    }
    refused[key] = interface;
    if (!x_refused.contains(key))
      x_engine.board().exhaustions[static_cast<size_t>(share::Exhaustion::kFurtherMacs)].add(1);
  }
  x_refused = std::move(refused);
  x_waiting = true;
  publish();
}

void PortMacs::publish() {
  share::Board& board = x_engine.board();
  if (!x_waiting || !board.quiescence.can_publish()) return;
  std::shared_ptr<share::FurtherMacs> all;
  if (!x_macs.empty()) all = std::make_shared<share::FurtherMacs>();
  for (const auto& [key, interface] : x_macs) all->add(key.first, key.second);
  board.further_macs.publish(std::move(all), board.quiescence);
  x_waiting = false;
}

void PortMacs::add(const Key& key, const std::string& interface) {
  const EnginePort& port = x_engine.ports()[key.first];
  const std::string mac = to_string(key.second);
  if (auto told = tell_device(key); told)
    spdlog::info("port {}: takes frames to {} too, the MAC address of {}", port.name, mac,
                 interface);
  else
    spdlog::warn(
        "port {}: {}, so frames to {}, the MAC address of {}, may not arrive: let VRRP use the "
        "port's own MAC address (leave out use_vmac)",
        port.name, told.error().message, mac, interface);
}

void PortMacs::remove(const Key& key, const std::string& interface) {
  const EnginePort& port = x_engine.ports()[key.first];
  if (auto filter = x_filters.find(key.first); filter != x_filters.end())
    filter->second.remove(key.second);
  else if (!port.deaf)
    port.nic->remove_mac(key.second);
  spdlog::info("port {}: takes no frames to {} any more, the MAC address of {}", port.name,
               to_string(key.second), interface);
}

Result<void> PortMacs::tell_device(const Key& key) {
  const EnginePort& port = x_engine.ports()[key.first];
  if (!port.deaf) return port.nic->add_mac(key.second);
  auto filter = x_filters.find(key.first);
  if (filter == x_filters.end()) {
    auto opened = control::UnicastFilter::open(port.deaf->interface());
    if (!opened) return opened.error();
    filter = x_filters.emplace(key.first, std::move(*opened)).first;
  }
  return filter->second.add(key.second);
}

}  // namespace shunt::daemon
