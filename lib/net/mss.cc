#include "net/mss.h"

#include "net/checksum.h"
#include "net/headers.h"

namespace shunt::net {
namespace {

/// RFC 9293 section 3.1: kinds of options, and the length of an MSS option.
constexpr uint8_t kEndOfList = 0, kNoOperation = 1, kMaximumSegmentSize = 2, kMssLength = 4;

/// The offset of the MSS option's value; 0: there is none.
size_t find_mss(const uint8_t* tcp, size_t end) {
  for (size_t at = sizeof(TcpHeader); at < end;) {
    const uint8_t kind = tcp[at];
    if (kind == kEndOfList) return 0;
    if (kind == kNoOperation) {
      at++;
      continue;
    }
    if (end - at < 2 || tcp[at + 1] < 2 || end - at < tcp[at + 1]) return 0;
    if (kind == kMaximumSegmentSize) return tcp[at + 1] == kMssLength ? at + 2 : 0;
    at += tcp[at + 1];
  }
  return 0;
}

}  // namespace

bool lower_mss(uint8_t* tcp, size_t size, uint16_t most) {
  const size_t length = size_t{4} * (header_at<TcpHeader>(tcp, 0).data_offset >> 4);
  if (length < sizeof(TcpHeader) || length > size) return false;
  const size_t at = find_mss(tcp, length);
  if (at == 0 || header_at<be16>(tcp, at).host() <= most) return false;
  // Sums go by words of the header, whose length is a multiple of 4; the value may lie across two.
  const size_t word = at & ~size_t{1}, words = at % 2 ? 4 : 2;
  uint8_t before[4];
  for (size_t i = 0; i < words; i++) before[i] = tcp[word + i];
  header_at<be16>(tcp, at) = be16(most);
  checksum_apply(header_at<TcpHeader>(tcp, 0).checksum, checksum_delta(before, tcp + word, words));
  return true;
}

}  // namespace shunt::net
