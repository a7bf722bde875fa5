// A mirror of a namespace's kernel, and what it reported.
#pragma once

#include <poll.h>

#include <algorithm>
#include <chrono>

#include "control/mirror.h"
#include "namespace.h"

namespace shunt::control {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

inline Address address(const char* text) {
  return parse_address(text).value();
}
inline Prefix prefix(const char* text) {
  return parse_prefix(text).value();
}

class MirrorTest : public NamespaceTest {
 protected:
  struct Heard {
    uint8_t port;
    Address neighbour;
    share::NextHop::State state;
    MacAddress mac;
  };

  void open(const std::vector<Mirror::Twin>& twins, const std::vector<std::string>& watched = {}) {
    auto mirror = Mirror::open(
        twins,
        {.on_routes =
             [this](auto routes, auto locals) {
               x_routes = std::move(routes);
               x_locals = std::move(locals);
               x_reports++;
             },
         .on_neighbour =
             [this](uint8_t port, const Address& neighbour, share::NextHop::State state,
                    const MacAddress& mac) {
               x_heard.push_back({port, neighbour, state, mac});
             },
         .on_link = [this](const std::string& interface,
                           Mirror::LinkNews news) { x_links.emplace_back(interface, news); },
         .on_macs = [this](const std::vector<TwinMac>& macs) { x_macs = macs; }},
        watched);
    ASSERT_TRUE(mirror) << mirror.error().message;
    x_mirror = std::move(*mirror);
  }

  /// Reads and publishes until `done` or two seconds have passed; true if done.
  template <class F>
  bool until(F&& done) {
    auto end = steady_clock::now() + milliseconds(2000);
    for (;;) {
      x_mirror->handle_readable();
      x_mirror->publish();
      if (done()) return true;
      if (steady_clock::now() > end) return false;
      pollfd one{x_mirror->fd(), POLLIN, 0};
      poll(&one, 1, 50);
    }
  }

  const share::Route* route(const char* text) const {
    for (const auto& r : x_routes)
      if (r.prefix == prefix(text)) return &r;
    return nullptr;
  }
  const share::LocalAddress* local(const char* text) const {
    for (const auto& l : x_locals)
      if (l.prefix == prefix(text)) return &l;
    return nullptr;
  }
  static std::string entry_of(const std::string& neighbour) {
    return output("ip neigh show " + neighbour);
  }
  bool heard(const char* neighbour, share::NextHop::State state) const {
    return std::any_of(x_heard.begin(), x_heard.end(), [&](const Heard& h) {
      return h.neighbour == address(neighbour) && h.state == state;
    });
  }

  std::unique_ptr<Mirror> x_mirror;
  std::vector<share::Route> x_routes;
  std::vector<share::LocalAddress> x_locals;
  std::vector<Heard> x_heard;
  std::vector<std::pair<std::string, Mirror::LinkNews>> x_links;
  std::vector<TwinMac> x_macs;
  int x_reports = 0;
};

}  // namespace shunt::control
