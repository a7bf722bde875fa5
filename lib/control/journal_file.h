// The journal's files: a directory that one shuntd holds, and in it the journal, always whole.
//
//   journal             what counts
//   journal.new         the next one, while it is written; renamed to `journal` when it is on disk
//   journal.replaced    what the rules file won over last
//   journal.damaged-N   what could not be read to its end, N from 1 to kMostDamaged
//
// Every call that writes returns when all is on disk (fdatasync, for names fsync of the directory).
// Not bound to a thread, used by one at a time. Caller: journal.h.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "control/journal_text.h"

namespace shunt::control {

class JournalFile {
 public:
  /// Bytes of a journal that is read. A full configuration has less than 64 MiB, and the file is
  /// begun anew before it has three times its rules' length.
  static constexpr size_t kMostBytes = 256u << 20;
  static constexpr int kMostDamaged = 8;

  /// Could open() succeed, as far as can be said without changing anything or disturbing the shuntd
  /// that is there?
  static Result<void> check(const std::string& directory);
  /// Makes the directory if there is none (mode 0700), and holds it against other shuntds.
  static Result<JournalFile> open(const std::string& directory);
  JournalFile(JournalFile&& other) noexcept;
  JournalFile& operator=(JournalFile&&) = delete;
  ~JournalFile();

  const std::string& path() const { return x_path; }

  /// What is there; nothing if there is no journal. A damaged one is kept under another name, which
  /// `kept` becomes. An error: it is there and cannot be read.
  Result<JournalContents> read(std::string& kept);
  /// Keeps what is there as journal.damaged-N; the name with its directory.
  Result<std::string> keep_damaged();
  /// Keeps what is there as journal.replaced.
  Result<void> keep_replaced();

  /// Makes `text` the whole journal.
  Result<void> replace(std::string_view text);
  /// Adds to it. After an error only replace() is possible.
  Result<void> append(std::string_view text);
  /// Bytes; 0 until replace().
  size_t size() const { return x_size; }

 private:
  JournalFile() = default;
  Error failed(const std::string& what) const;
  Result<void> write_new(std::string_view text);

  std::string x_directory, x_path;
  int x_directory_fd = -1;
  int x_fd = -1;  ///< to append to; -1: replace() comes first
  size_t x_size = 0;
};

}  // namespace shunt::control
