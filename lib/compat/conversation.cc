#include "compat/conversation.h"

#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <net/if.h>

#include <cerrno>
#include <climits>

#include "compat/arguments.h"
#include "compat/listing.h"
#include "ipvs/refusal.h"

namespace shunt::compat {

namespace {

/// IPVS's own, 1.2.1, and the size of its hash table, which says nothing here: as the kernel's
/// default (IP_VS_TAB_BITS).
constexpr uint32_t kVersion = 0x010201, kTableSize = 4096;
/// HZ of the kernels that Debian builds: timeouts are refused from INT_MAX / HZ on.
constexpr uint32_t kMostTimeout = INT_MAX / 250;

/// No error number.
constexpr int kUnderWay = -1;

/// Room for a message more in a datagram of a listing.
constexpr size_t kLongestListed = 512;

struct Operation {
  uint8_t command;
  bool has_do, has_dump;
};
constexpr Operation kOperations[] = {
    {IPVS_CMD_NEW_SERVICE, true, false}, {IPVS_CMD_SET_SERVICE, true, false},
    {IPVS_CMD_DEL_SERVICE, true, false}, {IPVS_CMD_GET_SERVICE, true, true},
    {IPVS_CMD_NEW_DEST, true, false},    {IPVS_CMD_SET_DEST, true, false},
    {IPVS_CMD_DEL_DEST, true, false},    {IPVS_CMD_GET_DEST, false, true},
    {IPVS_CMD_NEW_DAEMON, true, false},  {IPVS_CMD_DEL_DAEMON, true, false},
    {IPVS_CMD_GET_DAEMON, false, true},  {IPVS_CMD_SET_CONFIG, true, false},
    {IPVS_CMD_GET_CONFIG, true, false},  {IPVS_CMD_GET_INFO, true, false},
    {IPVS_CMD_ZERO, true, false},        {IPVS_CMD_FLUSH, true, false}};

const Operation* find_operation(uint8_t command) {
  for (const Operation& operation : kOperations)
    if (operation.command == command) return &operation;
  return nullptr;
}

std::optional<ipvs::Verb> verb_of(uint8_t command) {
  switch (command) {
    case IPVS_CMD_NEW_SERVICE:
      return ipvs::Verb::kAddService;
    case IPVS_CMD_SET_SERVICE:
      return ipvs::Verb::kEditService;
    case IPVS_CMD_DEL_SERVICE:
      return ipvs::Verb::kDeleteService;
    case IPVS_CMD_NEW_DEST:
      return ipvs::Verb::kAddServer;
    case IPVS_CMD_SET_DEST:
      return ipvs::Verb::kEditServer;
    case IPVS_CMD_DEL_DEST:
      return ipvs::Verb::kDeleteServer;
    case IPVS_CMD_ZERO:
      return ipvs::Verb::kZero;
    default:
      return std::nullopt;
  }
}

int number_of(const Result<void>& done) {
  return done ? 0 : ipvs::error_number(done.error());
}

/// Connections are not synchronized yet: what is right is refused by a number of its own.
int start_daemon(std::string_view nest) {
  const Attributes<__IPVS_DAEMON_ATTR_MAX> attributes(nest);
  const auto state = attributes.number<uint32_t>(IPVS_DAEMON_ATTR_STATE);
  const auto interface = attributes.text(IPVS_DAEMON_ATTR_MCAST_IFN, IP_VS_IFNAME_MAXLEN - 1);
  const auto id = attributes.number<uint32_t>(IPVS_DAEMON_ATTR_SYNC_ID);
  if (!state || !interface || !id) return EINVAL;
  return if_nametoindex(interface->c_str()) == 0 ? ENODEV : ENOSYS;
}

using TopAttributes = Attributes<__IPVS_CMD_ATTR_MAX>;

}  // namespace

template <class Fill>
void Conversation::reply(const Message& message, uint8_t command, Fill fill) {
  Writer writer(x_ready.emplace_back());
  writer.begin_message(message.header.nlmsg_type, 0, message.header.nlmsg_seq,
                       message.header.nlmsg_pid);
  fill(writer, command);
  writer.end_message();
}

bool Conversation::next(Datagram& datagram) {
  datagram.clear();
  Message message;
  // One message in a turn: of those that nobody wants to be acknowledged many fit in a datagram.
  if (x_ready.empty() && !x_dump && (!take_message(message) || !answer(message))) return false;
  if (!x_ready.empty()) {
    if (waits_for_disk()) return false;
    datagram = std::move(x_ready.front());
    x_ready.pop_front();
    return true;
  }
  if (!x_dump) return false;
  continue_dump(datagram);
  return true;
}

/// The next whole message; what is no message ends the datagram, as in netlink_rcv_skb().
bool Conversation::take_message(Message& message) {
  message = {};
  if (x_requests.size() < sizeof(nlmsghdr)) {
    x_requests.clear();
    return false;
  }
  std::memcpy(&message.header, x_requests.data(), sizeof message.header);
  const size_t length = message.header.nlmsg_len;
  if (length < sizeof(nlmsghdr) || length > x_requests.size()) {
    x_requests.clear();
    return false;
  }
  return true;
}

bool Conversation::answer(const Message& taken) {
  Message message = taken;
  const size_t length = message.header.nlmsg_len;
  message.whole = std::string_view(x_requests).substr(0, length);
  message.payload = message.whole.substr(sizeof(nlmsghdr));
  const uint16_t flags = message.header.nlmsg_flags;
  int error = 0;
  if ((flags & NLM_F_REQUEST) && message.header.nlmsg_type >= NLMSG_MIN_TYPE) {
    if (message.header.nlmsg_type != GENL_ID_CTRL && message.header.nlmsg_type != kFamilyId) {
      error = ENOENT;
    } else if (message.payload.size() < GENL_HDRLEN) {
      error = EINVAL;
    } else {
      message.command = static_cast<uint8_t>(message.payload[0]);
      message.attributes = message.payload.substr(GENL_HDRLEN);
      error = message.header.nlmsg_type == GENL_ID_CTRL ? answer_control(message)
                                                        : answer_family(message);
    }
  }
  if (error == kUnderWay) return false;
  if (!x_dump && ((flags & NLM_F_ACK) || error != 0)) acknowledge(message, error);
  x_requests.erase(0, std::min(x_requests.size(), (length + 3) & ~size_t{3}));
  return true;
}

/// NLMSG_ERROR; with an error the whole request comes behind it.
void Conversation::acknowledge(const Message& message, int error) {
  Writer writer(x_ready.emplace_back());
  writer.begin_message(NLMSG_ERROR, error == 0 ? NLM_F_CAPPED : 0, message.header.nlmsg_seq,
                       message.header.nlmsg_pid);
  const int32_t number = -error;
  writer.raw(&number, sizeof number);
  if (error == 0)
    writer.raw(&message.header, sizeof message.header);
  else
    writer.raw(message.whole.data(), message.whole.size());
  writer.end_message();
}

/// The controller of generic netlink, as far as it is asked for "IPVS" (ctrl_fill_info()).
int Conversation::answer_control(const Message& message) {
  if (message.command != CTRL_CMD_GETFAMILY || message.is_dump()) return EOPNOTSUPP;
  const Attributes<CTRL_ATTR_FAMILY_NAME + 1> attributes(message.attributes);
  const bool by_id = attributes.has(CTRL_ATTR_FAMILY_ID);
  if (by_id ? attributes.number<uint16_t>(CTRL_ATTR_FAMILY_ID) != kFamilyId
            : attributes.text(CTRL_ATTR_FAMILY_NAME, GENL_NAMSIZ - 1) != IPVS_GENL_NAME)
    return attributes.has(CTRL_ATTR_FAMILY_NAME) || by_id ? ENOENT : EINVAL;
  reply(message, CTRL_CMD_NEWFAMILY, [](Writer& writer, uint8_t command) {
    writer.genl_header(command, 2);
    writer.text(CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME);
    writer.number(CTRL_ATTR_FAMILY_ID, kFamilyId);
    writer.number(CTRL_ATTR_VERSION, uint32_t{IPVS_GENL_VERSION});
    writer.number(CTRL_ATTR_HDRSIZE, uint32_t{0});
    writer.number(CTRL_ATTR_MAXATTR, uint32_t{IPVS_CMD_ATTR_MAX});
    const size_t all = writer.begin_nest(CTRL_ATTR_OPS);
    uint16_t index = 1;
    for (const Operation& operation : kOperations) {
      const size_t one = writer.begin_nest(index++);
      writer.number(CTRL_ATTR_OP_ID, uint32_t{operation.command});
      writer.number(CTRL_ATTR_OP_FLAGS, GENL_ADMIN_PERM | GENL_CMD_CAP_HASPOL |
                                            (operation.has_do ? uint32_t{GENL_CMD_CAP_DO} : 0) |
                                            (operation.has_dump ? uint32_t{GENL_CMD_CAP_DUMP} : 0));
      writer.end_nest(one);
    }
    writer.end_nest(all);
  });
  return 0;
}

int Conversation::answer_family(const Message& message) {
  const Operation* operation = find_operation(message.command);
  if (!operation) return EOPNOTSUPP;
  if (message.is_dump()) return operation->has_dump ? start_dump(message) : EOPNOTSUPP;
  if (!operation->has_do) return EOPNOTSUPP;
  switch (message.command) {
    case IPVS_CMD_GET_SERVICE:
      return get_service(message, TopAttributes(message.attributes).bytes(IPVS_CMD_ATTR_SERVICE));
    case IPVS_CMD_GET_CONFIG:
      return get_config(message);
    case IPVS_CMD_GET_INFO:
      return get_info(message);
    default: {
      const int error = carry_out(message);
      x_waits_for = x_executor.revision();
      return error;
    }
  }
}

int Conversation::get_service(const Message& message, std::string_view nest) {
  ServiceArguments arguments;
  if (int error = read_service(nest, false, arguments)) return error;
  const ipvs::ConfiguredService* service = x_executor.configuration().find(arguments.config.key);
  if (!service) return ESRCH;
  reply(message, IPVS_CMD_NEW_SERVICE, [&](Writer& writer, uint8_t command) {
    writer.genl_header(command, IPVS_GENL_VERSION);
    write_service(writer, x_executor.accounts().listing(*service));
  });
  return 0;
}

int Conversation::get_config(const Message& message) {
  reply(message, IPVS_CMD_SET_CONFIG, [&](Writer& writer, uint8_t command) {
    const ipvs::Timeouts& timeouts = x_executor.configuration().timeouts();
    writer.genl_header(command, IPVS_GENL_VERSION);
    writer.number(IPVS_CMD_ATTR_TIMEOUT_TCP, timeouts.of(ipvs::State::kEstablished));
    writer.number(IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, timeouts.of(ipvs::State::kFinWait));
    writer.number(IPVS_CMD_ATTR_TIMEOUT_UDP, timeouts.of(ipvs::State::kUdp));
  });
  return 0;
}

int Conversation::get_info(const Message& message) {
  reply(message, IPVS_CMD_SET_INFO, [](Writer& writer, uint8_t command) {
    writer.genl_header(command, IPVS_GENL_VERSION);
    writer.number(IPVS_INFO_ATTR_VERSION, kVersion);
    writer.number(IPVS_INFO_ATTR_CONN_TAB_SIZE, kTableSize);
  });
  return 0;
}

int Conversation::carry_out(const Message& message) {
  const TopAttributes attributes(message.attributes);
  ipvs::Command command;
  switch (message.command) {
    case IPVS_CMD_FLUSH:
      return work_on("-C");
    case IPVS_CMD_SET_CONFIG: {
      if (x_executor.is_changing()) return kUnderWay;
      command.verb = ipvs::Verb::kSetTimeouts;
      for (size_t i = 0; i < command.timeouts.size(); i++) {
        const size_t type = IPVS_CMD_ATTR_TIMEOUT_TCP + i;
        const auto seconds = attributes.number<uint32_t>(type);
        if (attributes.has(type) && !seconds) return ERANGE;
        command.timeouts[i] = seconds.value_or(0);
        if (command.timeouts[i] > kMostTimeout) return EINVAL;
      }
      return number_of(x_executor.carry_out(command));
    }
    case IPVS_CMD_NEW_DAEMON:
      return start_daemon(attributes.bytes(IPVS_CMD_ATTR_DAEMON));
    case IPVS_CMD_DEL_DAEMON:
      return attributes.has(IPVS_CMD_ATTR_DAEMON) ? ESRCH : EINVAL;
    default:
      break;
  }
  if (message.command == IPVS_CMD_ZERO && !attributes.has(IPVS_CMD_ATTR_SERVICE))
    return work_on("-Z");
  return edit(message, attributes.bytes(IPVS_CMD_ATTR_SERVICE),
              attributes.bytes(IPVS_CMD_ATTR_DEST));
}

/// A slice of the work on a command about everything.
int Conversation::work_on(const char* option) {
  if (!x_work) {
    ipvs::PackedRequest request;
    request.commands.add_command();
    request.commands.add_word(option);
    x_work = x_executor.begin(std::move(request));
  }
  std::string reply;
  if (x_work->work(reply) != control::Progress::kDone) return kUnderWay;
  x_work.reset();
  return 0;
}

/// Commands about one service, or one of its servers (ip_vs_genl_set_cmd()).
int Conversation::edit(const Message& message, std::string_view service_nest,
                       std::string_view server_nest) {
  if (x_executor.is_changing()) return kUnderWay;
  const uint8_t id = message.command;
  const bool is_full = id == IPVS_CMD_NEW_SERVICE || id == IPVS_CMD_SET_SERVICE;
  ServiceArguments arguments;
  if (int error = read_service(service_nest, is_full, arguments)) return error;
  const ipvs::ConfiguredService* service = x_executor.configuration().find(arguments.config.key);
  if (!service && id != IPVS_CMD_NEW_SERVICE) return ESRCH;
  const auto [flags, mask] = arguments.change;
  const uint32_t former = service ? service->config.flags : 0;
  arguments.config.flags = ((former & ~mask) | (flags & mask)) & ~uint32_t{IP_VS_SVC_F_HASHED};

  ipvs::Command command;
  command.verb = *verb_of(id);
  command.given.add(ipvs::Option::kService);
  command.service = arguments.config;
  if (id == IPVS_CMD_NEW_DEST || id == IPVS_CMD_SET_DEST || id == IPVS_CMD_DEL_DEST) {
    const bool is_whole = id != IPVS_CMD_DEL_DEST;
    const Family family = arguments.config.key.family();
    if (int error = read_server(server_nest, is_whole, family, command.server)) return error;
    const ipvs::ServerConfig& server = command.server;
    if (is_whole && server.weight >= 0 && server.lower_threshold <= server.upper_threshold &&
        server.tunnel_type == ipvs::TunnelType::kGue && server.tunnel_port == 0)
      return EINVAL;
    command.given.add(ipvs::Option::kServer);
  }
  return number_of(x_executor.carry_out(command));
}

int Conversation::start_dump(const Message& message) {
  Dump dump{Dump::kNothing, message.header.nlmsg_seq, message.header.nlmsg_pid, {}, {}, 0, false};
  if (message.command == IPVS_CMD_GET_SERVICE) dump.kind = Dump::kServices;
  if (message.command == IPVS_CMD_GET_DEST) {
    // No such service: an empty listing.
    ServiceArguments arguments;
    const TopAttributes attributes(message.attributes);
    const ipvs::ConfiguredService* service = nullptr;
    if (read_service(attributes.bytes(IPVS_CMD_ATTR_SERVICE), false, arguments) == 0)
      service = x_executor.configuration().find(arguments.config.key);
    if (service) {
      dump.kind = Dump::kServers;
      dump.servers = x_executor.accounts().listing(*service).servers;
    }
  }
  dump.is_over = dump.kind == Dump::kNothing;
  x_dump = std::move(dump);
  return 0;
}

/// A datagram of entries while there are some, then one of NLMSG_DONE.
void Conversation::continue_dump(Datagram& datagram) {
  while (!x_dump->is_over && datagram.size() + kLongestListed <= kMostListed)
    x_dump->is_over =
        x_dump->kind == Dump::kServices ? !dump_services(datagram) : !dump_servers(datagram);
  if (!datagram.empty()) return;
  Writer writer(datagram);
  const int32_t status = 0;
  writer.begin_message(NLMSG_DONE, NLM_F_MULTI, x_dump->sequence, x_dump->port);
  writer.raw(&status, sizeof status);
  writer.end_message();
  x_dump.reset();
}

/// One entry more; false when there is none. Services that come or go meanwhile may be seen or not.
bool Conversation::dump_services(Datagram& datagram) {
  const auto& services = x_executor.configuration().services();
  const auto service = x_dump->last ? services.upper_bound(*x_dump->last) : services.begin();
  if (service == services.end()) return false;
  Writer writer(datagram);
  writer.begin_message(kFamilyId, NLM_F_MULTI, x_dump->sequence, x_dump->port);
  writer.genl_header(IPVS_CMD_NEW_SERVICE, IPVS_GENL_VERSION);
  write_service(writer, x_executor.accounts().listing(service->second));
  writer.end_message();
  x_dump->last = service->first;
  return true;
}

bool Conversation::dump_servers(Datagram& datagram) {
  if (x_dump->next == x_dump->servers.size()) return false;
  Writer writer(datagram);
  writer.begin_message(kFamilyId, NLM_F_MULTI, x_dump->sequence, x_dump->port);
  writer.genl_header(IPVS_CMD_NEW_DEST, IPVS_GENL_VERSION);
  write_server(writer, x_dump->servers[x_dump->next++]);
  writer.end_message();
  return true;
}

}  // namespace shunt::compat
