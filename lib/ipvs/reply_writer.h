// Writes a reply of the control socket piece by piece: a listing is longer than what is kept for a
// client that does not read.
//
// Each call appends to `to`, which the caller may empty in between. Order: begin(), errors,
// then services or sessions, end(). Callers: encode(), the executor's answers.
#pragma once

#include <string>

#include "ipvs/protocol.h"

namespace shunt::ipvs {

class ReplyWriter {
 public:
  void begin(std::string& to);
  void error(std::string& to, const CommandError& error);

  void begin_services(std::string& to) { begin_array(to, "services"); }
  void begin_service(std::string& to, const ServiceConfig& config);
  void server(std::string& to, const ServerListing& server);
  void end_service(std::string& to, const Counters& totals, const Counters& rates);

  void begin_sessions(std::string& to) { begin_array(to, "sessions"); }
  void session(std::string& to, const SessionRecord& session);

  /// With the cursor, timeouts, knobs, daemons and revisions of `rest`.
  void end(std::string& to, const Reply& rest);

 private:
  /// After the one before, which ends here.
  void begin_array(std::string& to, const char* name);
  void element(std::string& to);

  bool x_first = true;  ///< in the array that is open
};

}  // namespace shunt::ipvs
