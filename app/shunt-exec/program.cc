#include "program.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace shunt::exec {

namespace {

/// More of notes than any program has.
constexpr size_t kMostNotes = 64 * 1024;

/// Is there a note of Go's linker among these? It is there also in programs that are stripped, and
/// in those that use the C library for some things.
bool has_go_note(const std::vector<char>& notes) {
  constexpr char kName[4] = {'G', 'o', '\0', '\0'};
  for (size_t at = 0; at + sizeof(Elf64_Nhdr) + sizeof kName <= notes.size();) {
    Elf64_Nhdr note;
    std::memcpy(&note, &notes[at], sizeof note);
    at += sizeof note;
    if (note.n_namesz == sizeof kName && std::memcmp(&notes[at], kName, sizeof kName) == 0)
      return true;
    auto padded = [](size_t size) { return (size + 3) & ~size_t{3}; };
    at += padded(note.n_namesz) + padded(note.n_descsz);
  }
  return false;
}

Linking linking_of_elf(int fd, const Elf64_Ehdr& header) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64)
    return Linking::kForeign;
  Linking linking = Linking::kRawCalls;
  for (unsigned i = 0; i < header.e_phnum; i++) {
    Elf64_Phdr segment{};
    const auto at = static_cast<off_t>(header.e_phoff + i * header.e_phentsize);
    if (pread(fd, &segment, sizeof segment, at) != sizeof segment) return Linking::kForeign;
    if (segment.p_type == PT_INTERP) linking = Linking::kDynamic;
    if (segment.p_type != PT_NOTE) continue;
    std::vector<char> notes(std::min<size_t>(segment.p_filesz, kMostNotes));
    const ssize_t n = pread(fd, notes.data(), notes.size(), static_cast<off_t>(segment.p_offset));
    notes.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (has_go_note(notes)) return Linking::kRawCalls;
  }
  return linking;
}

}  // namespace

Linking linking_of(const std::string& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Linking::kRawCalls;  // it cannot be read: what serves every program
  Elf64_Ehdr header{};
  const bool is_elf = read(fd, &header, sizeof header) == sizeof header &&
                      std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0;
  const Linking linking = is_elf ? linking_of_elf(fd, header) : Linking::kDynamic;
  close(fd);
  return linking;
}

std::string find_program(const std::string& name) {
  if (name.find('/') != name.npos) return access(name.c_str(), X_OK) == 0 ? name : "";
  const char* path = std::getenv("PATH");
  std::string rest = path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (size_t at = 0; at <= rest.size();) {
    const size_t end = std::min(rest.find(':', at), rest.size());
    const std::string file = (end == at ? "." : rest.substr(at, end - at)) + "/" + name;
    if (access(file.c_str(), X_OK) == 0) return file;
    at = end + 1;
  }
  return "";
}

}  // namespace shunt::exec
