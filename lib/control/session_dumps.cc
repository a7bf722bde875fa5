#include "control/session_dumps.h"

namespace shunt::control {

namespace {

/// A session cursor: worker, family and the worker's own cursor. 0 means the start and the end.
struct Cursor {
  uint32_t at = 0;
  unsigned worker = 0;
  bool v6 = false;

  static Cursor from(uint64_t number) {
    return {static_cast<uint32_t>(number), static_cast<unsigned>(number >> 33),
            (number >> 32 & 1) != 0};
  }
  uint64_t number() const { return uint64_t{worker} << 33 | uint64_t{v6} << 32 | at; }
};

}  // namespace

class SessionDumps::Reader : public SessionReader {
 public:
  explicit Reader(SessionDumps& dumps) : x_dumps(dumps) {}
  ~Reader() override { forget(); }

  bool read(uint64_t& number, size_t most, std::vector<ipvs::SessionRecord>& to) override {
    Cursor cursor = Cursor::from(number);
    auto& desks = x_dumps.x_board.desks;
    if (cursor.worker >= desks.size()) {
      number = 0;
      return true;
    }
    share::WorkerDesk& desk = *desks[cursor.worker];
    x_dumps.collect(desk);
    if (!x_give_up) x_give_up = std::chrono::steady_clock::now() + kPatience;
    if (!x_dump) ask(desk, cursor, most);
    if (x_dump && x_dumps.x_asked.at(x_dump).is_back) {
      to.insert(to.end(), x_dump->records.begin(), x_dump->records.begin() + x_dump->count);
      cursor.at = x_dump->cursor;
      if (x_dump->done)
        cursor = cursor.v6 ? Cursor{0, cursor.worker + 1, false} : Cursor{0, cursor.worker, true};
    } else if (std::chrono::steady_clock::now() > *x_give_up) {
      x_dumps.x_warn("worker " + std::to_string(cursor.worker) +
                     " does not answer: its sessions are missing from the listing");
      cursor = {0, cursor.worker + 1, false};
    } else {
      return false;
    }
    forget();
    number = cursor.worker < desks.size() ? cursor.number() : 0;
    return true;
  }

 private:
  /// Unless the worker has too many orders already.
  void ask(share::WorkerDesk& desk, const Cursor& cursor, size_t most) {
    auto dump = std::make_unique<share::SessionDump>();
    dump->records.resize(most);
    dump->cursor = cursor.at;
    dump->family = cursor.v6 ? Family::kV6 : Family::kV4;
    if (!desk.orders->send({share::Order::kDumpSessions, dump.get()})) return;
    x_dump = dump.get();
    x_dumps.x_asked[x_dump].dump = std::move(dump);
  }

  void forget() {
    x_give_up.reset();
    if (!x_dump) return;
    auto asked = x_dumps.x_asked.find(x_dump);
    x_dump = nullptr;
    // The worker may still write it.
    if (asked->second.is_back)
      x_dumps.x_asked.erase(asked);
    else
      asked->second.is_wanted = false;
  }

  SessionDumps& x_dumps;
  share::SessionDump* x_dump = nullptr;  ///< asked for
  std::optional<std::chrono::steady_clock::time_point> x_give_up;
};

std::unique_ptr<SessionReader> SessionDumps::begin() {
  return std::make_unique<Reader>(*this);
}

void SessionDumps::collect(share::WorkerDesk& desk) {
  for (share::SessionDump* back = nullptr; desk.reports->receive(&back, 1) == 1;) {
    auto asked = x_asked.find(back);
    asked->second.is_back = true;
    if (!asked->second.is_wanted) x_asked.erase(asked);
  }
}

}  // namespace shunt::control
