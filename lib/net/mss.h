// The maximum segment size that one end of a TCP connection announces to the other (RFC 9293
// section 3.7.1), lowered on its way. Called by the dataplane with handshake packets; nothing but
// the option's value and TCP's checksum is written.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shunt::net {

/// Lowers the value of the MSS option of the TCP header at `tcp` to `most`. `size` bytes are there,
/// at least a header without options. False, and nothing written: it has none, says no more than
/// that already, or the options are malformed up to there or cut. The checksum follows by RFC 1624,
/// so that what was wrong stays wrong.
bool lower_mss(uint8_t* tcp, size_t size, uint16_t most);

}  // namespace shunt::net
