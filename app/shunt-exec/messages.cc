#include "messages.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <string.h>

#include "compat/wire.h"

namespace shunt::exec {

namespace {

/// Does the controller's question name the family "IPVS"?
bool asks_for_ipvs(const char* message, size_t size) {
  size_t at = NLMSG_HDRLEN + GENL_HDRLEN;
  if (size < at || message[NLMSG_HDRLEN] != CTRL_CMD_GETFAMILY) return false;
  while (at + sizeof(nlattr) <= size) {
    nlattr attribute;
    memcpy(&attribute, message + at, sizeof attribute);
    if (attribute.nla_len < sizeof attribute || attribute.nla_len > size - at) return false;
    const char* payload = message + at + sizeof attribute;
    const size_t length = attribute.nla_len - sizeof attribute;
    if (attribute.nla_type == CTRL_ATTR_FAMILY_NAME)
      return length == sizeof IPVS_GENL_NAME && memcmp(payload, IPVS_GENL_NAME, length) == 0;
    uint16_t id;
    if (attribute.nla_type == CTRL_ATTR_FAMILY_ID && length >= sizeof id) {
      memcpy(&id, payload, sizeof id);
      return id == compat::kFamilyId;
    }
    at += (attribute.nla_len + size_t{3}) & ~size_t{3};
  }
  return false;
}

template <class Message>
Answer answer_of(const Message& message) {
  static_assert(sizeof message <= sizeof Answer{}.bytes);
  Answer answer{};
  memcpy(answer.bytes, &message, sizeof message);
  answer.size = sizeof message;
  return answer;
}

/// The family's number, for a program that may ask for it and nothing else.
Answer family_answer(const nlmsghdr& request) {
  struct {
    nlmsghdr header;
    genlmsghdr genl;
    nlattr name;
    char text[8];
    nlattr id;
    uint16_t number, zero;
  } answer{};
  answer.header = {sizeof answer, GENL_ID_CTRL, 0, request.nlmsg_seq, request.nlmsg_pid};
  answer.genl = {CTRL_CMD_NEWFAMILY, 2, 0};
  answer.name = {sizeof(nlattr) + sizeof IPVS_GENL_NAME, CTRL_ATTR_FAMILY_NAME};
  strcpy(answer.text, IPVS_GENL_NAME);
  answer.id = {sizeof(nlattr) + sizeof answer.number, CTRL_ATTR_FAMILY_ID};
  answer.number = compat::kFamilyId;
  return answer_of(answer);
}

}  // namespace

bool is_for_ipvs(const char* message, size_t size) {
  nlmsghdr header;
  if (size < sizeof header) return false;
  memcpy(&header, message, sizeof header);
  if (header.nlmsg_type == compat::kFamilyId) return true;
  return header.nlmsg_type == GENL_ID_CTRL && asks_for_ipvs(message, size);
}

bool is_last_answer(const nlmsghdr& answer, const nlmsghdr& request) {
  return answer.nlmsg_type == NLMSG_ERROR || answer.nlmsg_type == NLMSG_DONE ||
         !(request.nlmsg_flags & (NLM_F_ACK | NLM_F_DUMP));
}

Answer error_answer(const nlmsghdr& request, int error) {
  struct {
    nlmsghdr header;
    nlmsgerr body;
  } answer{};
  answer.header = {sizeof answer, NLMSG_ERROR, 0, request.nlmsg_seq, request.nlmsg_pid};
  answer.body = {-error, request};
  return answer_of(answer);
}

Answers answers_without_daemon(const nlmsghdr& request, int error) {
  const bool is_forbidden = error == EACCES || error == EPERM;
  if (request.nlmsg_type != GENL_ID_CTRL)
    return {{error_answer(request, is_forbidden ? EPERM : ECONNREFUSED)}, 1};
  // Anybody may ask the kernel for the family; its commands are for the administrator.
  if (is_forbidden) return {{family_answer(request), error_answer(request, 0)}, 2};
  return {{error_answer(request, ENOENT)}, 1};
}

bool is_lost(int error) {
  return error == EPIPE || error == ECONNRESET || error == ENOTCONN || error == ECONNREFUSED;
}

}  // namespace shunt::exec
