// Reads a request of the control socket as its bytes arrive, in pieces of any size.
//
// The line is never held as a whole, and what goes beyond a limit is refused at once and not kept:
// memory is bounded by kMaxRequest whatever a client sends. nlohmann's parser wants a whole text,
// and so reads single words here, never the request. Callers: decode_request(), Requests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ipvs/packed_commands.h"

namespace shunt::ipvs {

/// A request as the daemon keeps it; see Request.
struct PackedRequest {
  PackedCommands commands;
  bool atomic = false;
  uint64_t cursor = 0;
};

class RequestReader {
 public:
  /// More bytes of the line.
  void feed(std::string_view bytes);
  /// The line is over. The request, or what was wrong with it; the reader begins anew.
  Result<PackedRequest> finish();
  /// Bytes of memory that it holds.
  size_t memory() const { return x_request.commands.memory() + x_token.capacity(); }

 private:
  /// What may come next between tokens.
  enum class Expect { kValue, kValueOrEnd, kKey, kKeyOrEnd, kColon, kCommaOrEnd, kNothing };
  enum class Token { kNone, kString, kEscape, kScalar };
  enum Key { kOther, kCommands, kAtomic, kCursor };

  void take(char c);
  void take_structure(char c);
  void begin_value(char c);
  void open(char bracket);
  void close(char bracket);
  void end_string();
  void end_scalar();
  void word(const std::string& word);
  void value_done();
  void wrong(const std::string& what) { refuse("malformed request: " + what); }
  void refuse(std::string sentence);

  PackedRequest x_request;
  bool x_has_commands = false;
  Key x_key = kOther;  ///< of the outer object's field that is being read
  std::string x_open;  ///< the brackets that are open
  Expect x_expect = Expect::kValue;
  Token x_token_kind = Token::kNone;
  std::string x_token;    ///< as it was sent
  size_t x_bytes = 0;     ///< of the line so far
  size_t x_words = 0;     ///< of the last command
  std::string x_refusal;  ///< empty: nothing is wrong yet
};

}  // namespace shunt::ipvs
