// shuntadm: ipvsadm for shuntd. Everything but the way to the daemon is run_ipvsadm().
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "ipvs/client.h"
#include "ipvs/ipvsadm.h"

int main(int argc, char** argv) {
  std::string program = argc > 0 ? argv[0] : "shuntadm";
  program = program.substr(program.rfind('/') + 1);
  const char* environment = std::getenv("SHUNT_SOCKET");
  std::string socket = environment && *environment ? environment : shunt::ipvs::kDefaultSocket;

  // --socket may stand anywhere; all other words are ipvsadm's.
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; i++) {
    std::string word = argv[i];
    if (word.starts_with("--socket=")) {
      socket = word.substr(word.find('=') + 1);
    } else if (word == "--socket") {
      if (++i == argc) {
        std::cerr << "--socket: missing argument\n";
        return 255;
      }
      socket = argv[i];
    } else {
      arguments.push_back(word);
    }
  }

  std::ios::sync_with_stdio(false);
  shunt::ipvs::Client client(socket);
  int status = shunt::ipvs::run_ipvsadm(
      arguments, program, shunt::ipvs::system_names(),
      [&](const shunt::ipvs::Request& request) { return client.exchange(request); },
      {std::cin, std::cout, std::cerr});
  if (!std::cout.flush()) {
    std::cerr << program << ": cannot write to standard output\n";
    return 1;
  }
  return status;
}
