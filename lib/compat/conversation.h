// One program's conversation with the family "IPVS" of generic netlink: requests in, answers out,
// byte for byte as Linux gives them (net/netfilter/ipvs/ip_vs_ctl.c, net/netlink/genetlink.c).
//
// A conversation holds one request datagram and at most the listing of one service: what a program
// does not read costs no more than that. What takes long is done in slices, one in a turn of the
// loop, and edits wait for a change of others' that is under way. Every request ends in an
// acknowledgement, an error or NLMSG_DONE, as netlink(7) has it. What commands mean is lib/ipvs's
// knowledge; they are carried out by the Executor. Owner: the control thread. Caller:
// compat/server.h, tests.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string_view>

#include "compat/message.h"
#include "compat/wire.h"
#include "control/executor.h"

namespace shunt::compat {

/// Longest datagram of a listing, as the kernel's (NLMSG_GOODSIZE with pages of 4096 bytes).
inline constexpr size_t kMostListed = 3776;

class Conversation {
 public:
  explicit Conversation(control::Executor& executor) : x_executor(executor) {}

  /// Nothing is left to be said: the next request may come.
  bool is_idle() const { return x_ready.empty() && !x_dump && x_requests.empty(); }
  /// A datagram of requests, while idle.
  void take(std::string_view datagram) { x_requests = datagram; }
  /// The next datagram for the program; false when there is none now. One that is not idle then
  /// waits for the disk, or has more to do in another turn of the loop: a call does what is short.
  bool next(Datagram& datagram);
  /// Is there nothing to be done before the disk has what is acknowledged (journal.h)?
  bool waits_for_disk() const { return !x_ready.empty() && !x_executor.is_kept(x_waits_for); }

 private:
  /// A message of the request, without its header.
  struct Message {
    nlmsghdr header;
    std::string_view whole, payload;
    uint8_t command = 0;
    std::string_view attributes;  ///< behind the generic-netlink header
    bool is_dump() const { return (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP; }
  };
  /// A listing under way.
  struct Dump {
    enum Kind { kServices, kServers, kNothing } kind;
    uint32_t sequence, port;
    std::optional<ipvs::ServiceKey> last;      ///< kServices: the one sent last
    std::vector<ipvs::ServerListing> servers;  ///< kServers
    size_t next = 0;
    bool is_over = false;  ///< but for NLMSG_DONE
  };

  bool take_message(Message& message);
  /// False: not yet, it is to be called again with the same message.
  bool answer(const Message& message);
  /// 0 or the error number to acknowledge with, or kUnderWay: to be called again.
  int answer_control(const Message& message);
  int answer_family(const Message& message);
  int start_dump(const Message& message);
  int get_service(const Message& message, std::string_view nest);
  int get_config(const Message& message);
  int get_info(const Message& message);
  int carry_out(const Message& message);
  int edit(const Message& message, std::string_view service_nest, std::string_view server_nest);
  int work_on(const char* option);
  void acknowledge(const Message& message, int error);
  /// A datagram with one message of the family that answers `message`.
  template <class Fill>
  void reply(const Message& message, uint8_t command, Fill fill);
  void continue_dump(Datagram& datagram);
  bool dump_services(Datagram& datagram);
  bool dump_servers(Datagram& datagram);

  control::Executor& x_executor;
  std::string x_requests;        ///< what is left of the datagram
  std::deque<Datagram> x_ready;  ///< at most an answer and its acknowledgement
  uint64_t x_waits_for = 0;      ///< the revision that it acknowledges
  std::optional<Dump> x_dump;
  std::unique_ptr<control::Answer> x_work;  ///< on the first message, if it takes turns
};

}  // namespace shunt::compat
