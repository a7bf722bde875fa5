// The words of many commands in two blocks of memory: a tenth of what a string for each word takes.
//
// Invariant: no word holds a NUL byte, which is what ends a word in here. Callers: RequestReader,
// the executor's answers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shunt::ipvs {

class PackedCommands {
 public:
  void add_command() { x_ends.push_back(static_cast<uint32_t>(x_words.size())); }
  /// To the last command; there is one.
  void add_word(std::string_view word) {
    x_words.append(word).push_back('\0');
    x_ends.back() = static_cast<uint32_t>(x_words.size());
  }
  void clear() { *this = {}; }

  size_t size() const { return x_ends.size(); }
  /// The words of a command, index below size().
  std::vector<std::string> words(size_t index) const {
    std::vector<std::string> words;
    for (size_t at = index == 0 ? 0 : x_ends[index - 1]; at < x_ends[index];) {
      words.emplace_back(x_words.c_str() + at);
      at += words.back().size() + 1;
    }
    return words;
  }
  /// Bytes of memory.
  size_t memory() const { return x_words.capacity() + x_ends.capacity() * sizeof(uint32_t); }

 private:
  std::string x_words;           ///< each followed by a NUL byte
  std::vector<uint32_t> x_ends;  ///< of each command's words, in x_words
};

}  // namespace shunt::ipvs
