// Where listings of sessions come from: page by page, without waiting for the workers that have
// them. Made by Runtime::sessions for each listing.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "ipvs/session_record.h"

namespace shunt::control {

class SessionReader {
 public:
  virtual ~SessionReader() = default;
  /// Appends at most `most` sessions from `cursor` on (0: from the start) and moves it, to 0 at the
  /// end; a page may be empty. False: they are not there yet, ask again in another turn of the
  /// loop. No session that lives throughout is missed or comes twice.
  virtual bool read(uint64_t& cursor, size_t most, std::vector<ipvs::SessionRecord>& to) = 0;
};

class SessionSource {
 public:
  using Begin = std::function<std::unique_ptr<SessionReader>()>;
  using Page = std::function<std::vector<ipvs::SessionRecord>(uint64_t& cursor, size_t most)>;

  SessionSource() = default;
  explicit SessionSource(Begin begin) : x_begin(std::move(begin)) {}
  /// Of sessions that are at hand.
  template <class Read>
  requires std::constructible_from<Page, Read> &&
      (!std::same_as<std::remove_cvref_t<Read>, SessionSource>)SessionSource(Read page)
      : x_begin([page = Page(std::move(page))] { return std::make_unique<AtHand>(page); }) {}

  std::unique_ptr<SessionReader> begin() const { return x_begin(); }

 private:
  struct AtHand : SessionReader {
    explicit AtHand(const Page& its_page) : page(its_page) {}
    bool read(uint64_t& cursor, size_t most, std::vector<ipvs::SessionRecord>& to) override {
      for (auto& session : page(cursor, most)) to.push_back(std::move(session));
      return true;
    }
    Page page;
  };

  Begin x_begin;
};

}  // namespace shunt::control
