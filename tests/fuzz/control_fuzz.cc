// Lines of the control socket: whatever they hold, the answer can be decoded, and nothing stays of
// them once all services are cleared.
//
// Input: lines. Each is carried out by one executor, which keeps its configuration from line to
// line, and is cleared behind the last.
#include <array>
#include <functional>
#include <utility>

#include "control/executor.h"
#include "fuzzing.h"

namespace shunt::control {
namespace {

constexpr size_t kMostBytes = 4096;

/// An executor without workers: a few sessions, counters that tell servers apart.
class Fixture {
 public:
  Fixture()
      : x_executor(x_configuration,
                   {[](uint32_t id) {
                      return ServerFacts{id % 3, 2, 0, {1, 2, 3, 4, id}};
                    },
                    [](uint64_t& cursor, size_t most) { return sessions(cursor, most); },
                    [](std::shared_ptr<const ipvs::ServiceTable> table, const ipvs::Timeouts&) {
                      MUST(table);
                    }}) {}

  void answer(std::string_view line) {
    const std::string answer = x_executor.answer(line);
    MUST(answer.find('\n') == answer.npos);
    if (is_new(answer)) MUST(ipvs::decode_reply(answer));
  }

  void clear() {
    if (x_configuration.services().empty()) return;
    ipvs::Request clear;
    clear.commands = {{"-C"}};
    const ipvs::Reply reply = x_executor.execute(clear);
    MUST(reply.errors.empty() && x_configuration.services().empty());
    x_configuration.recycle([](uint32_t) { return true; });
  }

 private:
  static std::vector<ipvs::SessionRecord> sessions(uint64_t& cursor, size_t most) {
    std::vector<ipvs::SessionRecord> page;
    while (page.size() < most && cursor < 3) {
      ipvs::SessionRecord session;
      session.protocol = 6;
      session.seconds_left = static_cast<uint32_t>(cursor++);
      page.push_back(session);
    }
    if (cursor >= 3) cursor = 0;
    return page;
  }

  /// Small tables of Maglev hashing are soon built.
  static ipvs::SchedulerSettings settings() {
    ipvs::SchedulerSettings settings;
    settings.maglev_slots = 251;
    settings.mh_table_index = 8;
    return settings;
  }

  /// Most answers are one of a few errors: to decode each of them again would take half of the
  /// time.
  bool is_new(const std::string& answer) {
    const size_t hash = std::hash<std::string>()(answer);
    size_t& place = x_decoded[hash % x_decoded.size()];
    return std::exchange(place, hash) != hash;
  }

  std::array<size_t, 65536> x_decoded{};
  ipvs::Configuration x_configuration{ipvs::kEngine, settings()};
  Executor x_executor;
};

}  // namespace
}  // namespace shunt::control

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shunt::control;
  if (size > kMostBytes) return 0;
  static Fixture fixture;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    fixture.answer(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  fixture.clear();
  return 0;
}
