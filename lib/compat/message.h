// Generic-netlink messages as bytes: a writer for answers, and a reader that never looks past what
// it was given.
//
// Sizes and alignments are those of netlink(7): headers and attributes begin at multiples of 4
// bytes. Numbers are in host order unless a name says otherwise. No state, no input or output.
#pragma once

#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace shunt::compat {

/// One datagram: whole messages, each at a multiple of 4 bytes.
using Datagram = std::string;

/// Appends messages to a datagram.
class Writer {
 public:
  explicit Writer(Datagram& to) : x_to(to) {}

  /// A header; its length is set by end_message().
  void begin_message(uint16_t type, uint16_t flags, uint32_t sequence, uint32_t port);
  void end_message();
  /// A generic-netlink header: command, version, two bytes of zero.
  void genl_header(uint8_t command, uint8_t version);

  void attribute(uint16_t type, const void* data, size_t size);
  template <class T>
  void number(uint16_t type, T value) {
    attribute(type, &value, sizeof value);
  }
  /// With its terminating NUL.
  void text(uint16_t type, std::string_view value);
  /// Behind an empty attribute of type `pad` where its payload would not be at a multiple of 8
  /// bytes otherwise (nla_put_64bit of a kernel for machines that need it).
  void number64(uint16_t type, uint64_t value, uint16_t pad);
  void raw(const void* data, size_t size);

  size_t begin_nest(uint16_t type);
  void end_nest(size_t nest);

 private:
  void align() { x_to.resize((x_to.size() + 3) & ~size_t{3}); }

  Datagram& x_to;
  size_t x_message = 0;  ///< where the message begins
};

/// Views of the attributes of one level by type, as the kernel's nla_parse() leaves them: unknown
/// types are skipped, of several with one type the last counts, what is cut short ends the list.
template <size_t kTypes>
class Attributes {
 public:
  explicit Attributes(std::string_view bytes) {
    while (bytes.size() >= sizeof(nlattr)) {
      nlattr header;
      std::memcpy(&header, bytes.data(), sizeof header);
      if (header.nla_len < sizeof header || header.nla_len > bytes.size()) return;
      const size_t type = header.nla_type & NLA_TYPE_MASK;
      if (type < kTypes)
        x_found[type] = bytes.substr(sizeof header, header.nla_len - sizeof header);
      bytes.remove_prefix(std::min(bytes.size(), (header.nla_len + size_t{3}) & ~size_t{3}));
    }
  }

  bool has(size_t type) const { return x_found[type].has_value(); }
  std::string_view bytes(size_t type) const { return x_found[type].value_or(std::string_view()); }
  /// The first bytes of the attribute as a number; nothing if it is not there or too short.
  template <class T>
  std::optional<T> number(size_t type) const {
    if (!x_found[type] || x_found[type]->size() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, x_found[type]->data(), sizeof value);
    return value;
  }
  /// Up to its NUL; nothing if it is not there, has none, or is longer than `most` bytes.
  std::optional<std::string> text(size_t type, size_t most) const {
    if (!x_found[type]) return std::nullopt;
    const size_t end = x_found[type]->find('\0');
    if (end == std::string_view::npos || end > most) return std::nullopt;
    return std::string(x_found[type]->substr(0, end));
  }

 private:
  std::array<std::optional<std::string_view>, kTypes> x_found;
};

}  // namespace shunt::compat
