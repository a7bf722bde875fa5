#include "kept_rules.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "ipvs/rules.h"

namespace shunt::daemon {
namespace {

constexpr uint64_t kLook = 100'000;  // microseconds

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return Error{"cannot read the rules file " + path + ": " + std::strerror(errno), 2};
  return text.str();
}

}  // namespace

Result<void> check_rules_file(const control::Conf& conf) {
  if (conf.rules.empty()) return {};
  auto text = read_file(conf.rules);
  if (!text) return text.error();
  ipvs::Configuration scratch(ipvs::kEngine, conf.schedulers);
  return ipvs::replace_rules(scratch, *text, conf.rules, ipvs::system_names());
}

Result<std::unique_ptr<KeptRules>> KeptRules::open(const control::Conf& conf) {
  std::unique_ptr<KeptRules> rules(new KeptRules(conf));
  if (!conf.journal.empty()) {
    auto file = control::JournalFile::open(conf.journal);
    if (!file) return file.error();
    rules->x_file.emplace(std::move(*file));
    if (auto read = rules->read(); !read) return read.error();
  }
  if (auto decided = rules->decide(); !decided) return decided.error();
  return rules;
}

Result<void> KeptRules::read() {
  std::string kept;
  auto found = x_file->read(kept);
  if (!found) return found.error();
  x_found = std::move(*found);
  using Rest = control::JournalContents::Rest;
  if (x_found.rest == Rest::kTorn)
    spdlog::warn("journal: {} ends in a change that nobody was told of ({}): it is dropped",
                 x_file->path(), x_found.reason);
  if (x_found.rest == Rest::kDamaged)
    spdlog::error(
        "journal: {} is damaged behind byte {} ({}): it is kept as {}, and what was "
        "written before counts",
        x_file->path(), x_found.whole, x_found.reason, kept);
  return {};
}

Result<void> KeptRules::decide() {
  struct stat file {};
  const bool has_file = !x_conf.rules.empty() && stat(x_conf.rules.c_str(), &file) == 0;
  x_file_time = int64_t{file.st_mtim.tv_sec} * 1'000'000'000 + file.st_mtim.tv_nsec;
  if (x_conf.journal.empty()) return check_rules_file(x_conf);

  const auto& [revision, changed] = x_found.point;
  const std::string journal = fmt::format("revision {} of the journal {}, changed {}", revision,
                                          x_file->path(), control::journal_time(changed));
  const std::string rules =
      has_file ? x_conf.rules + ", changed " + control::journal_time(x_file_time) : "no rules file";
  const bool is_newer = has_file && x_file_time > changed;
  x_takes_journal = revision != 0 && (!x_found.is_stopped || !is_newer);
  if (revision == 0)
    spdlog::info("rules: {}, since the journal {} is empty", rules, x_file->path());
  else if (!x_found.is_stopped)
    spdlog::info("rules: {}, since shuntd was not stopped in order; not {}", journal, rules);
  else if (x_takes_journal)
    spdlog::info("rules: {}, which is the newer one; not {}", journal, rules);
  else
    spdlog::info("rules: {}, which is the newer one; not {}", rules, journal);

  auto checked = check_rules_file(x_conf);
  if (checked || !x_takes_journal) return checked;
  spdlog::warn("the rules file would be refused: {}", checked.error().message);
  return {};
}

Result<void> KeptRules::load_file(control::Executor& executor) {
  if (x_conf.rules.empty()) return {};
  auto text = read_file(x_conf.rules);
  if (!text) return text.error();
  return executor.load_rules(*text, x_conf.rules, ipvs::system_names());
}

Result<void> KeptRules::load(control::Executor& executor) {
  if (!x_file) return load_file(executor);
  if (x_takes_journal) {
    if (auto loaded = executor.load(x_found.rules); !loaded) {
      auto kept = x_file->keep_damaged();
      spdlog::error(
          "journal: revision {} is refused ({}): it is kept as {}, and the rules file is "
          "loaded",
          x_found.point.revision, loaded.error().message, kept ? *kept : kept.error().message);
      x_takes_journal = false;
    }
  } else if (auto kept = x_file->keep_replaced(); !kept) {
    spdlog::warn("journal: {}", kept.error().message);
  }
  if (!x_takes_journal)
    if (auto loaded = load_file(executor); !loaded) return loaded;

  control::JournalPoint point = x_found.point;
  if (!x_takes_journal)
    point = {point.revision + 1, std::max({point.time, x_file_time, control::Journal::now()})};
  control::Journal::Calls calls;
  calls.warn = [](const std::string& line) { spdlog::error(line); };
  calls.tell = [](const std::string& line) { spdlog::info(line); };
  calls.all = [&executor] { return executor.rules(); };
  calls.news = [this] { x_news(); };
  x_journal = std::make_unique<control::Journal>(std::move(*x_file));
  x_file.reset();
  x_found = {};
  executor.set_journal(x_journal.get(), point.revision, x_conf.knobs);
  x_journal->begin(*executor.rules(), point, std::move(calls));
  x_journal->wait_until_kept(point.revision);
  return {};
}

Result<void> KeptRules::follow(control::Loop& loop, std::function<void()> news) {
  if (!x_journal) return {};
  x_news = std::move(news);
  if (auto watched = loop.on_readable(x_journal->fd(), [this] { x_journal->take_news(); });
      !watched)
    return watched;
  return loop.every(kLook, [this] { x_journal->look(); });
}

void KeptRules::end(bool is_orderly) {
  x_news = [] {};
  if (x_journal) x_journal->end(is_orderly);
}

}  // namespace shunt::daemon
