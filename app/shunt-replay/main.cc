// shunt-replay: a capture in, through the daemon's own stages, captures and counters out.
#include <rte_eal.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

#include "capture.h"
#include "control/executor.h"
#include "ipvs/ipvsadm.h"
#include "ipvs/rules.h"
#include "options.h"
#include "report.h"
#include "rig.h"

namespace shunt::replay {
namespace {

int complain(const Error& error) {
  std::fprintf(stderr, "shunt-replay: %s\n", error.message.c_str());
  return error.status;
}

Result<std::string> text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return Error{"cannot read " + path + ": " + std::strerror(errno), 2};
  return text.str();
}

/// Applies the first rules, all or none.
Result<void> load(ipvs::Configuration& configuration, const std::string& path) {
  auto text = text_of(path);
  if (!text) return text.error();
  auto applied = ipvs::apply_rules(configuration, *text, path, ipvs::system_names());
  if (!applied) return applied.error();
  return {};
}

/// The daemon's executor over the rig, and the command files that come due.
struct Control {
  Control(ipvs::Configuration& configuration, Rig& rig)
      : configuration(configuration),
        rig(rig),
        executor(configuration, rig.runtime(configuration)) {}

  /// Carries out commands and makes the result the worker's; no commands: what is configured.
  Result<void> apply(const std::string& text, const std::string& path) {
    if (auto done = executor.apply_rules(text, path, ipvs::system_names()); !done)
      return done.error();
    names.learn(configuration);
    return {};
  }

  /// A file's commands in turn; a line that lists prints into `listings` what is there by then.
  Result<void> carry_out(const std::string& path) {
    auto text = text_of(path);
    if (!text) return text.error();
    std::istringstream in(*text);
    std::string edits;  // as many lines as were read, so that an error names the right one
    for (std::string line; std::getline(in, line); edits += '\n') {
      if (!line.starts_with("-L") && !line.starts_with("-S")) {
        edits += line;
        continue;
      }
      if (auto done = apply(edits, path); !done) return done;
      for (char& c : edits)
        if (c != '\n') c = ' ';
      auto listed = listing(line);
      if (!listed) return listed.error();
      listings.push_back(std::move(*listed));
    }
    return apply(edits, path);
  }

  /// `begin` is the time of second 0.
  Result<void> apply_due(const Options& options, size_t& next, double seconds, uint64_t begin) {
    for (; next < options.at.size() && options.at[next].seconds <= seconds; next++) {
      rig.pass_time(begin + static_cast<uint64_t>(options.at[next].seconds * 1e9));
      if (auto done = carry_out(options.at[next].file); !done) return done.error();
    }
    return {};
  }

  /// The daemon's timer, by the captures' clock.
  void tick(double seconds) {
    constexpr unsigned kMost = 1000;  // a capture may jump by years
    for (unsigned i = 0; i < kMost && ticked + control::Estimator::kPeriod <= seconds; i++) {
      executor.tick();
      ticked += control::Estimator::kPeriod;
    }
    if (ticked + control::Estimator::kPeriod <= seconds) ticked = seconds;
  }

  /// What `shuntadm WORDS` would print.
  Result<std::string> listing(const std::string& words) {
    std::istringstream in;
    std::ostringstream out, err;
    auto ask = [this](const ipvs::Request& request) -> Result<ipvs::Reply> {
      return executor.execute(request);
    };
    auto names = ipvs::numeric_names();
    int status = ipvs::run_ipvsadm(ipvs::split_line(words, "shuntadm"), "shuntadm", names, ask,
                                   {in, out, err});
    if (status != 0) return Error{"--list " + words + ": " + err.str(), status};
    return out.str();
  }

  ipvs::Configuration& configuration;
  Rig& rig;
  control::Executor executor;
  Names names;
  std::vector<std::string> listings;
  double ticked = 0;  ///< when the timer last came
};

struct Outputs {
  std::optional<CaptureWriter> nic, kernel;

  static Result<Outputs> open(const Options& options) {
    Outputs outputs;
    for (auto [path, writer] : {std::pair(&options.write, &outputs.nic),
                                std::pair(&options.write_kernel, &outputs.kernel)}) {
      if (path->empty()) continue;
      auto created = CaptureWriter::create(*path);
      if (!created) return created.error();
      writer->emplace(std::move(*created));
    }
    return outputs;
  }
  bool finish() {
    bool good = true;
    if (nic) good &= nic->finish();
    if (kernel) good &= kernel->finish();
    return good;
  }
};

/// One pass over the capture. `clock` never goes back; the pass begins at `start`.
class Pass {
 public:
  Pass(const Options& options, Control& control, Rig& rig)
      : x_options(options), x_control(control), x_rig(rig) {}

  Result<void> run(CaptureReader& reader, uint64_t& shown_time) {
    Record record;
    std::optional<uint64_t> first;
    uint64_t latest = 0;
    while (reader.next(record)) {
      if (!first) first = latest = record.nanoseconds;
      latest = std::max(latest, record.nanoseconds);  // going backwards counts as no time
      uint64_t elapsed = latest - *first;
      if (x_packets == 0) x_begin = *first;
      uint64_t now = x_shift + elapsed;
      const double seconds = static_cast<double>(now) / 1e9;
      if (auto done = x_control.apply_due(x_options, x_next_at, seconds, x_begin); !done)
        return done.error();
      x_control.tick(seconds);
      shown_time = record.nanoseconds + x_shift;
      x_rig.feed(record.bytes, record.captured, record.length, x_begin + now);
      x_packets++;
      if (x_options.explain) print(seconds);
    }
    if (first) x_shift += latest - *first + 1'000'000'000;
    return {};
  }

 private:
  void print(double seconds) const {
    for (const dataplane::Fate& fate : x_rig.fates())
      std::printf("#%llu %.6f %s\n", static_cast<unsigned long long>(x_packets), seconds,
                  explain(fate, x_control.names).c_str());
  }

  const Options& x_options;
  Control& x_control;
  Rig& x_rig;
  uint64_t x_begin = 0;  ///< the clock starts at the capture's own time
  uint64_t x_shift = 0;  ///< of this pass against the first one
  uint64_t x_packets = 0;
  size_t x_next_at = 0;
};

int run(const Options& options) {
  ipvs::Configuration configuration(ipvs::kEngine, options.schedulers);
  configuration.set_knobs(options.knobs);
  if (auto loaded = load(configuration, options.rules); !loaded) return complain(loaded.error());
  auto reader = CaptureReader::open(options.read);
  if (!reader) return complain(reader.error());
  auto outputs = Outputs::open(options);
  if (!outputs) return complain(outputs.error());
  if (auto started = start_eal(options); !started) return complain(started.error());
  auto rig = Rig::create(options);
  if (!rig) return complain(rig.error());

  uint64_t shown_time = 0;
  auto sink = [&shown_time](std::optional<CaptureWriter>& writer) -> Rig::Sink {
    if (!writer) return {};
    return [&](const uint8_t* bytes, uint32_t size) { writer->write(bytes, size, shown_time); };
  };
  (*rig)->to_nic = sink(outputs->nic);
  (*rig)->to_kernel = sink(outputs->kernel);

  Control control(configuration, **rig);
  if (auto applied = control.apply("", options.rules); !applied) return complain(applied.error());
  Pass pass(options, control, **rig);
  Summary summary;
  auto started = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < options.loop; i++) {
    if (i > 0) {
      if (options.loop_fresh) (*rig)->flush_sessions();
      reader = CaptureReader::open(options.read);
      if (!reader) return complain(reader.error());
    }
    if (auto done = pass.run(*reader, shown_time); !done) return complain(done.error());
  }
  summary.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  summary.truncated = reader->truncated();
  summary.listings = std::move(control.listings);
  for (const std::string& words : options.list) {
    auto listing = control.listing(words);
    if (!listing) return complain(listing.error());
    summary.listings.push_back(std::move(*listing));
  }
  std::fputs(options.json ? (to_json(**rig, configuration, summary) + "\n").c_str()
                          : to_text(**rig, summary).c_str(),
             stdout);
  if (!outputs->finish()) return complain({"cannot write the whole capture: is the disk full?"});
  if (reader->truncated()) return complain({reader->complaint()});
  return 0;
}

}  // namespace
}  // namespace shunt::replay

int main(int argc, char** argv) {
  using namespace shunt::replay;
  auto options = parse_options(argc, argv);
  if (!options) return complain(options.error());
  if (options->help) {
    std::fputs(usage().c_str(), stdout);
    return 0;
  }
  int status = run(*options);
  std::fflush(stdout);
  return status;
}
