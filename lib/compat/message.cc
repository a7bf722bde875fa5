#include "compat/message.h"

#include <linux/genetlink.h>

namespace shunt::compat {

void Writer::begin_message(uint16_t type, uint16_t flags, uint32_t sequence, uint32_t port) {
  align();
  x_message = x_to.size();
  const nlmsghdr header{0, type, flags, sequence, port};
  raw(&header, sizeof header);
}

void Writer::end_message() {
  const auto length = static_cast<uint32_t>(x_to.size() - x_message);
  std::memcpy(x_to.data() + x_message, &length, sizeof length);
}

void Writer::genl_header(uint8_t command, uint8_t version) {
  const genlmsghdr header{command, version, 0};
  raw(&header, sizeof header);
}

void Writer::attribute(uint16_t type, const void* data, size_t size) {
  const nlattr header{static_cast<uint16_t>(sizeof(nlattr) + size), type};
  raw(&header, sizeof header);
  raw(data, size);
  align();
}

void Writer::text(uint16_t type, std::string_view value) {
  const nlattr header{static_cast<uint16_t>(sizeof(nlattr) + value.size() + 1), type};
  raw(&header, sizeof header);
  x_to.append(value).push_back('\0');
  align();
}

void Writer::number64(uint16_t type, uint64_t value, uint16_t pad) {
  if (x_to.size() % 8 == 0) attribute(pad, nullptr, 0);
  number(type, value);
}

void Writer::raw(const void* data, size_t size) {
  x_to.append(static_cast<const char*>(data), size);
}

size_t Writer::begin_nest(uint16_t type) {
  const size_t nest = x_to.size();
  attribute(type, nullptr, 0);
  return nest;
}

void Writer::end_nest(size_t nest) {
  const auto length = static_cast<uint16_t>(x_to.size() - nest);
  std::memcpy(x_to.data() + nest, &length, sizeof length);
}

}  // namespace shunt::compat
