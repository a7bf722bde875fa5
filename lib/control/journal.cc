#include "control/journal.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <utility>

namespace shunt::control {

struct Journal::Work {
  explicit Work(JournalFile its_file)
      : file(std::move(its_file)), event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Work() { close(event); }

  /// What control gives, taken as a whole.
  struct Batch {
    std::string text;  ///< records
    bool is_whole = false;
    JournalPoint point;  ///< of the last record
  };

  std::mutex mutex;
  std::condition_variable wake, done;
  // Under the mutex.
  Batch next;
  bool is_stopping = false, is_orderly = false, has_ended = false;
  std::string failure;

  std::atomic<uint64_t> on_disk{0};
  std::atomic<size_t> size{0};
  std::atomic<bool> is_failing{false};
  std::atomic<bool> misfits{false};  ///< `is_misfit`, for control

  // The thread's alone.
  JournalFile file;
  ipvs::RuleSet rules;
  JournalPoint point;      ///< of these rules
  bool is_misfit = false;  ///< they are not what is configured, and nothing to begin a file with
  bool is_broken = true;   ///< the file has to be begun anew
  size_t whole = 0;        ///< bytes that it had then

  const int event;

  void run();
  Result<void> store(const Batch& batch);
  Result<void> begin_anew();
  void say_on_disk(uint64_t revision);
  void signal() {
    const uint64_t one = 1;
    (void)!write(event, &one, sizeof one);
  }
};

void Journal::Work::say_on_disk(uint64_t revision) {
  size = file.size();
  on_disk = revision;
  signal();
}

Result<void> Journal::Work::begin_anew() {
  const std::string text = journal_record(journal_head() + rules.lines(), point);
  is_broken = true;
  if (auto replaced = file.replace(text); !replaced) return replaced;
  is_broken = false;
  whole = text.size();
  say_on_disk(point.revision);
  return {};
}

Result<void> Journal::Work::store(const Batch& batch) {
  is_broken |= batch.is_whole;
  if (!is_broken && !batch.text.empty()) {
    is_broken = !file.append(batch.text);
    if (!is_broken) say_on_disk(batch.point.revision);
  }
  if (batch.is_whole) {
    rules = {};
    is_misfit = false;
  }
  if (auto applied = apply_records(rules, batch.text); !applied) misfits = is_misfit = true;
  if (!batch.text.empty()) point = batch.point;
  if (!is_broken && (is_misfit || file.size() <= 2 * whole + kSlack)) return {};
  if (is_misfit) return Error{"cannot write " + file.path() + ": not all rules are known"};
  return begin_anew();
}

void Journal::Work::run() {
  std::unique_lock lock(mutex);
  for (bool is_first = true;; is_first = false) {
    auto is_due = [&] { return !next.text.empty() || is_stopping || is_first; };
    if (is_failing)
      wake.wait_for(lock, kRetry, is_due);
    else
      wake.wait(lock, is_due);
    const bool stops = is_stopping;
    const Batch batch = std::exchange(next, {});
    lock.unlock();
    auto stored = store(batch);
    if (stored && stops && is_orderly) stored = file.append(journal_stop(point));
    lock.lock();
    is_failing = !stored;
    failure = stored ? "" : stored.error().message;
    has_ended = stops;
    done.notify_all();
    signal();
    if (stops) return;
  }
}

int64_t Journal::now() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME_COARSE, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

Journal::Journal(JournalFile file) : x_work(std::make_shared<Work>(std::move(file))) {}

Journal::~Journal() {
  end(false);
}

void Journal::begin(ipvs::RuleSet rules, const JournalPoint& point, Calls calls) {
  x_calls = std::move(calls);
  x_point = x_work->point = point;
  x_oldest = point.revision;
  x_since = Clock::now();
  x_work->rules = std::move(rules);
  x_thread = std::thread([work = x_work] { work->run(); });
}

void Journal::append(std::string lines, uint64_t revision) {
  submit(std::move(lines), revision, false);
}

void Journal::replace(std::string lines, uint64_t revision) {
  submit(std::move(lines), revision, true);
}

void Journal::submit(std::string lines, uint64_t revision, bool is_whole) {
  if (is_on_disk(x_point.revision)) {
    x_oldest = revision;
    x_since = Clock::now();
  }
  x_point = {revision, std::max(x_point.time, now())};
  const std::string record = journal_record(std::move(lines), x_point);
  const std::lock_guard lock(x_work->mutex);
  Work::Batch& next = x_work->next;
  if (is_whole) {
    next = {};
    next.is_whole = true;
    x_needs_all = false;
  }
  if (x_needs_all || next.text.size() + record.size() > kMostQueued) {
    x_needs_all = true;
    next = {};
    return;
  }
  next.text += record;
  next.point = x_point;
  x_work->wake.notify_one();
}

/// When all that is queued was given up, or has led to something else than what is configured.
void Journal::copy_all() {
  if (auto rules = x_calls.all()) submit(rules->lines(), x_point.revision, true);
}

bool Journal::is_on_disk(uint64_t revision) const {
  return x_work->on_disk >= revision;
}

bool Journal::is_kept(uint64_t revision) const {
  return is_on_disk(revision) || x_is_late || x_work->is_failing;
}

void Journal::wait_until_kept(uint64_t revision) {
  std::unique_lock lock(x_work->mutex);
  x_work->done.wait_for(lock, kPatience, [&] { return is_kept(revision); });
  lock.unlock();
  look();
  take_news();
}

const std::string& Journal::path() const {
  return x_work->file.path();
}

size_t Journal::size() const {
  return x_work->size;
}

uint64_t Journal::on_disk() const {
  return x_work->on_disk;
}

std::string Journal::trouble() const {
  if (!x_failure.empty()) return x_failure;
  return x_is_late ? "the disk of " + path() + " does not answer" : "";
}

int Journal::fd() const {
  return x_work->event;
}

void Journal::take_news() {
  uint64_t count;
  (void)!read(x_work->event, &count, sizeof count);
  std::string failure;
  {
    const std::lock_guard lock(x_work->mutex);
    failure = x_work->failure;
  }
  if (!failure.empty() && x_failure.empty())
    x_calls.warn("journal: " + failure +
                 ": rules are changed all the same, and a crash would lose " +
                 "what was changed since revision " + std::to_string(on_disk()));
  const bool is_over = failure.empty() && is_on_disk(x_point.revision);
  if (is_over && (!x_failure.empty() || x_is_late))
    x_calls.tell("journal: all rules are on disk again, revision " + std::to_string(on_disk()));
  if (is_over) x_is_late = false;
  if (is_over || !failure.empty()) x_failure = failure;
  x_calls.news();
}

void Journal::look() {
  x_needs_all |= x_work->misfits.exchange(false);
  if (x_needs_all) copy_all();
  if (is_on_disk(x_point.revision) || x_is_late || x_work->is_failing) return;
  if (is_on_disk(x_oldest)) {
    x_oldest = x_point.revision;
    x_since = Clock::now();
  }
  if (Clock::now() - x_since < kPatience) return;
  x_is_late = true;
  x_calls.warn("journal: the disk of " + path() + " has not answered for " +
               std::to_string(kPatience.count()) +
               " ms: rules are changed without it, and a crash would lose what was changed since " +
               "revision " + std::to_string(on_disk()));
  x_calls.news();
}

void Journal::end(bool is_orderly) {
  if (!x_thread.joinable()) return;
  if (x_needs_all) copy_all();
  std::unique_lock lock(x_work->mutex);
  x_work->is_stopping = true;
  x_work->is_orderly = is_orderly;
  x_work->wake.notify_one();
  const bool has_ended = x_work->done.wait_for(lock, kFarewell, [&] { return x_work->has_ended; });
  const std::string failure = x_work->failure;
  lock.unlock();
  if (has_ended)
    x_thread.join();
  else
    x_thread.detach();  // it holds what it needs
  if (!has_ended || !failure.empty())
    x_calls.warn("journal: not all rules are on disk: " +
                 (has_ended ? failure : "the disk of " + path() + " does not answer"));
}

}  // namespace shunt::control
