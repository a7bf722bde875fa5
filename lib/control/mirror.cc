#include "control/mirror.h"

#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "control/netlink_attributes.h"

namespace shunt::control {
namespace {

/// A request with a header of type H and room for an address or two.
template <class H>
struct Request {
  Request(uint16_t type, uint16_t flags, int family) {
    message = mnl_nlmsg_put_header(bytes.data());
    message->nlmsg_type = type;
    message->nlmsg_flags = flags;
    header = static_cast<H*>(mnl_nlmsg_put_extra_header(message, sizeof(H)));
    std::memcpy(header, &family, 1);  // every rtnetlink header begins with the family's byte
  }
  alignas(nlmsghdr) std::array<char, 256> bytes{};
  nlmsghdr* message;
  H* header;
};

share::NextHop::State state_of(uint16_t nud, bool has_mac) {
  constexpr uint16_t kKnown =
      NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
  if (nud & kKnown && has_mac) return share::NextHop::kReachable;
  if (nud & NUD_FAILED) return share::NextHop::kFailed;
  return share::NextHop::kUnresolved;
}

}  // namespace

Mirror::Mirror(Netlink events, Netlink questions, const std::vector<Twin>& twins, Listener listener)
    : x_events(std::move(events)),
      x_questions(std::move(questions)),
      x_listener(std::move(listener)) {
  for (const Twin& twin : twins) x_links.add_twin(twin.name, twin.port);
}

Mirror::~Mirror() {
  if (x_readable) sd_event_source_disable_unref(x_readable);
  if (x_timer) sd_event_source_disable_unref(x_timer);
}

Result<std::unique_ptr<Mirror>> Mirror::open(const std::vector<Twin>& twins, Listener listener,
                                             const std::vector<std::string>& watched) {
  // The subscription first: what changes during the dump is then heard after it.
  auto events = Netlink::open({RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                               RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_NEIGH});
  if (!events) return events.error();
  auto questions = Netlink::open({});
  if (!questions) return questions.error();
  std::unique_ptr<Mirror> mirror(
      new Mirror(std::move(*events), std::move(*questions), twins, std::move(listener)));
  if (auto dumped = mirror->dump(); !dumped) return dumped.error();
  for (const Twin& twin : twins) {
    bool exists = false;
    for (const auto& [index, link] : mirror->x_links.links()) exists |= link.name == twin.name;
    if (!exists)
      return Error{"the twin interface " + twin.name +
                   " does not exist: it has to be made before its neighbours can be followed"};
  }
  for (const auto& [index, link] : mirror->x_links.links())
    if (mirror->x_links.is_twin(link.name) ||
        std::find(watched.begin(), watched.end(), link.name) != watched.end())
      mirror->x_watched[index] = {link.name, LinkNews::kUp};
  mirror->handle_readable();
  mirror->publish();
  return mirror;
}

Result<void> Mirror::dump() {
  x_lost = true;  // until all of it is read and known to be whole
  const auto ports_before = x_links.ports();
  x_links.clear();
  Request<ifinfomsg> links(RTM_GETLINK, NLM_F_DUMP, AF_UNSPEC);
  auto linked = x_questions.ask(links.message, "the dump of the interfaces",
                                [this](const nlmsghdr& m) { on_link(m); });
  if (!linked) return linked.error();
  if (auto routes = dump_routes(); !routes) return routes;

  std::map<NeighbourKey, Neighbour> before;
  std::swap(before, x_neighbours);
  Request<ndmsg> neighbours(RTM_GETNEIGH, NLM_F_DUMP, AF_UNSPEC);
  // Those that are still there are reported again, which does no harm.
  auto known = x_questions.ask(neighbours.message, "the dump of the neighbours",
                               [this](const nlmsghdr& m) { on_neighbour(m); });
  if (!known) {
    x_neighbours.merge(before);
    return known.error();
  }
  for (const auto& [key, neighbour] : before)
    if (auto port = ports_before.find(key.first);
        port != ports_before.end() && !x_neighbours.contains(key))
      report(port->second, key.second, {});
  x_lost = !*linked || !*known;
  return {};
}

Result<void> Mirror::dump_routes() {
  MirrorRoutes fresh;
  bool consistent = true;
  for (int family : {AF_INET, AF_INET6}) {
    Request<rtmsg> request(RTM_GETROUTE, NLM_F_DUMP, family);
    auto answer = x_questions.ask(
        request.message,
        family == AF_INET ? "the dump of the IPv4 routes" : "the dump of the IPv6 routes",
        [&](const nlmsghdr& m) { fresh.apply(m, true); });
    if (!answer) return answer.error();
    consistent &= *answer;
  }
  x_stale = !consistent;
  // Equal tables are not reported: every report makes every session look up its route again.
  if (fresh == x_routes) return {};
  x_routes = std::move(fresh);
  x_changed = true;
  return {};
}

void Mirror::handle_readable() {
  if (x_events.drain([this](const nlmsghdr& m) { on_event(m); }) == Netlink::Drained::kOverrun) {
    (void)dump();  // refused for want of memory, it is tried again by publish()
  }
  tell_links();
  if (x_changed || x_stale || x_lost) arm();
}

// By index: another interface that takes the name is another one.
void Mirror::tell_links() {
  if (x_lost) return;  // what is missing may only have been unreadable
  for (auto& [index, told] : x_watched) {
    const auto& links = x_links.links();
    auto link = links.find(index);
    const LinkNews now = link == links.end() ? LinkNews::kDeleted
                         : link->second.up   ? LinkNews::kUp
                                             : LinkNews::kDown;
    if (now == told.second || told.second == LinkNews::kDeleted) continue;
    told.second = now;
    if (x_listener.on_link) x_listener.on_link(told.first, now);
  }
}

void Mirror::on_event(const nlmsghdr& message) {
  switch (message.nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      on_link(message);
      break;
    case RTM_DELADDR:
      // Routes that prefer the address as their source go with it, and of IPv4's the kernel does
      // not say so (fib_sync_down_addr).
      x_stale = true;
      break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      auto applied = x_routes.apply(message, false);
      x_changed |= applied.changed;
      x_stale |= applied.uncertain;
      break;
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      on_neighbour(message);
      break;
    case NLMSG_ERROR:
      // Of what is sent without waiting for an answer, which is requests for neighbours.
      if (message.nlmsg_len >= mnl_nlmsg_size(sizeof(nlmsgerr)) && x_listener.on_full &&
          static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(&message))->error == -ENOBUFS)
        x_listener.on_full();
      break;
  }
}

void Mirror::on_link(const nlmsghdr& message) {
  const auto before = x_links.ports();
  const auto applied = x_links.apply(message);
  if (applied == TwinLinks::Applied::kNothing) return;
  // A link that went down took its routes along, and of IPv4's the kernel does not say so.
  x_stale = true;
  x_changed |= applied == TwinLinks::Applied::kOfAPort;
  for (const auto& [index, port] : before)
    if (!x_links.ports().contains(index)) forget_neighbours(index, port);
}

void Mirror::on_neighbour(const nlmsghdr& message) {
  if (message.nlmsg_len < mnl_nlmsg_size(sizeof(ndmsg))) return;
  const auto* header = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(&message));
  auto index = static_cast<uint32_t>(header->ndm_ifindex);
  const auto port = x_links.ports().find(index);
  if (port == x_links.ports().end() || header->ndm_flags & NTF_PROXY) return;

  std::optional<Address> address;
  Neighbour neighbour;
  bool has_mac = false;
  for_each_attribute(message, sizeof(ndmsg), [&](int type, const nlattr* attribute) {
    if (type == NDA_DST) address = read_address(header->ndm_family, attribute);
    if (type == NDA_LLADDR && mnl_attr_get_payload_len(attribute) == sizeof neighbour.mac) {
      std::memcpy(&neighbour.mac, mnl_attr_get_payload(attribute), sizeof neighbour.mac);
      has_mac = !neighbour.mac.is_multicast();  // multicast groups have entries too
    }
  });
  if (!address) return;  // also the bridge's tables, which are of no IP family
  NeighbourKey key{index, *address};
  if (message.nlmsg_type == RTM_DELNEIGH) {
    if (x_neighbours.erase(key)) report(port->second, *address, {});
    return;
  }
  neighbour.state = state_of(header->ndm_state, has_mac);
  neighbour.permanent = header->ndm_state & (NUD_PERMANENT | NUD_NOARP);
  if (neighbour.state != share::NextHop::kReachable) neighbour.mac = {};
  auto known = x_neighbours.find(key);
  // Probing for the first time is no news, and after a failure the failure stands until answered.
  if (neighbour.state == share::NextHop::kUnresolved &&
      (known == x_neighbours.end() || known->second.state == share::NextHop::kFailed))
    return;
  // Each failure is news: it answers a new request.
  if (known != x_neighbours.end() && known->second == neighbour &&
      neighbour.state != share::NextHop::kFailed)
    return;
  x_neighbours[key] = neighbour;
  report(port->second, *address, neighbour);
}

// A macvlan on a twin and the twin are one wire, and each has its own entry for a neighbour.
void Mirror::report(uint8_t port, const Address& address, const Neighbour& neighbour) {
  if (!x_listener.on_neighbour) return;
  Neighbour best = neighbour;
  if (best.state != share::NextHop::kReachable)
    if (auto mac = this->neighbour(port, address)) best = {share::NextHop::kReachable, *mac};
  x_listener.on_neighbour(port, address, best.state, best.mac);
}

void Mirror::forget_neighbours(uint32_t interface, uint8_t port) {
  auto i = x_neighbours.lower_bound({interface, Address{}});
  while (i != x_neighbours.end() && i->first.first == interface) {
    const Address address = i->first.second;
    i = x_neighbours.erase(i);
    report(port, address, {});
  }
}

void Mirror::tell_macs() {
  if (x_lost) return;  // what is missing may only have been unreadable
  auto macs = x_links.macs();
  if (macs == x_macs) return;
  x_macs = std::move(macs);
  if (x_listener.on_macs) x_listener.on_macs(x_macs);
}

void Mirror::publish() {
  if (x_lost ? !dump() : x_stale && !dump_routes()) {
    arm();
    return;
  }
  tell_links();
  tell_macs();
  if (x_stale || x_lost) arm();  // it changed under the dump: this now, and better soon
  if (!x_changed) return;
  x_changed = false;
  auto tables = x_routes.compile(x_links.ports(), x_links.links());
  x_on_link = std::move(tables.on_link);
  if (x_listener.on_routes)
    x_listener.on_routes(std::move(tables.routes), std::move(tables.locals));
}

Result<void> Mirror::attach(sd_event* event) {
  auto readable = [](sd_event_source*, int, uint32_t, void* self) {
    static_cast<Mirror*>(self)->handle_readable();
    return 0;
  };
  auto expired = [](sd_event_source*, uint64_t, void* self) {
    static_cast<Mirror*>(self)->x_armed = false;
    static_cast<Mirror*>(self)->publish();
    return 0;
  };
  int error = sd_event_add_io(event, &x_readable, fd(), EPOLLIN, readable, this);
  if (error >= 0)
    error = sd_event_add_time(event, &x_timer, CLOCK_MONOTONIC, 0, kCoalesce / 5, expired, this);
  if (error >= 0) error = sd_event_source_set_enabled(x_timer, SD_EVENT_OFF);
  if (error < 0)
    return Error{std::string("following the kernel's routes failed: ") + std::strerror(-error)};
  if (x_changed || x_stale || x_lost) arm();
  return {};
}

void Mirror::arm() {
  if (!x_timer || x_armed) return;
  sd_event_source_set_time_relative(x_timer, kCoalesce);
  x_armed = sd_event_source_set_enabled(x_timer, SD_EVENT_ONESHOT) >= 0;
}

std::optional<MacAddress> Mirror::neighbour(uint8_t port, const Address& address) const {
  for (const auto& [index, of_port] : x_links.ports()) {
    if (of_port != port) continue;
    auto known = x_neighbours.find({index, address});
    if (known != x_neighbours.end() && known->second.state == share::NextHop::kReachable)
      return known->second.mac;
  }
  return std::nullopt;
}

void Mirror::request_neighbour(uint8_t port, const Address& address, bool keep) {
  const uint32_t index = interface_towards(port, address);
  if (index == 0) return;
  auto known = x_neighbours.find({index, address});
  if (known != x_neighbours.end() && known->second.permanent) return;
  Request<ndmsg> request(RTM_NEWNEIGH, NLM_F_CREATE, family_of(address));
  request.header->ndm_ifindex = static_cast<int>(index);
  request.header->ndm_state = NUD_NONE;
  request.header->ndm_flags = keep ? NTF_USE | NTF_EXT_LEARNED : NTF_USE;
  mnl_attr_put(request.message, NDA_DST, address.size(), address.bytes.data());
  // Not sent, it is asked for again with the next packet that needs it.
  (void)x_events.send(request.message, "asking for a neighbour");
}

/// The interface of a port by which the kernel reaches a neighbour.
uint32_t Mirror::interface_towards(uint8_t port, const Address& address) const {
  uint32_t interface = x_links.twin_of(port);
  int longest = -1;
  for (const auto& [prefix, by] : x_on_link) {
    const auto of_port = x_links.ports().find(by);
    if (of_port == x_links.ports().end() || of_port->second != port || prefix.length <= longest ||
        !prefix.contains(address))
      continue;
    interface = by;
    longest = prefix.length;
  }
  return interface;
}

Result<Address> Mirror::source_address(const Address& destination) {
  Request<rtmsg> request(RTM_GETROUTE, 0, family_of(destination));
  request.header->rtm_dst_len = static_cast<unsigned char>(destination.bits());
  mnl_attr_put(request.message, RTA_DST, destination.size(), destination.bytes.data());
  std::optional<Address> source;
  std::string what = "looking up the source address towards " + to_string(destination);
  auto answer = x_questions.ask(request.message, what.c_str(), [&](const nlmsghdr& message) {
    for_each_attribute(message, sizeof(rtmsg), [&](int type, const nlattr* attribute) {
      if (type == RTA_PREFSRC) source = read_address(family_of(destination), attribute);
    });
  });
  if (!answer) return answer.error();
  if (!source)
    return Error{"the kernel names no source address towards " + to_string(destination) +
                 ": add an address to the twin the route leaves by"};
  return *source;
}

}  // namespace shunt::control
