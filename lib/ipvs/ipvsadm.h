// The program ipvsadm as a function: words in, text out, exit status back.
//
// It parses, asks the daemon through `exchange`, and prints what ipvsadm would. Callers: shuntadm
// (over the socket), the console (within the daemon), tests.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "base/result.h"
#include "ipvs/names.h"
#include "ipvs/protocol.h"

namespace shunt::ipvs {

/// Sends a request and waits for its reply. An error ends the program with its status.
using Exchange = std::function<Result<Reply>(const Request& request)>;

struct Streams {
  std::istream& in;  ///< -R reads its lines here
  std::ostream& out;
  std::ostream& err;
};

/// `arguments` are the words after the program's name. Returns the exit status.
int run_ipvsadm(const std::vector<std::string>& arguments, const std::string& program,
                const Names& names, const Exchange& exchange, const Streams& streams);

}  // namespace shunt::ipvs
