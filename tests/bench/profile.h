// Where this thread's time goes: the place of the program is noted some hundred times a second of
// its CPU time, as far as its own code is concerned.
#pragma once

#include <nlohmann/json.hpp>

namespace shunt::bench {

class Profile {
 public:
  Profile();  ///< begins; one at a time in a process
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  /// Ends. {"program": {ADDRESS: COUNT...}, NAME-OF-LIBRARY: {...}}: addresses as nm prints them.
  nlohmann::json stop();

 private:
  void* x_timer;
};

}  // namespace shunt::bench
