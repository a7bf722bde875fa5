#include "linking.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace shunt::exec {

namespace {

bool read_at(int fd, uint64_t at, void* to, size_t size) {
  return syscall(SYS_pread64, fd, to, size, at) == static_cast<long>(size);
}

/// Is there a note of Go's linker in this segment? It is there also in programs that are stripped,
/// and in those that use the C library for some things.
bool has_go_note(int fd, const Elf64_Phdr& segment) {
  constexpr char kName[4] = {'G', 'o', '\0', '\0'};
  constexpr int kMostNotes = 64;  // more than any program has
  struct {
    Elf64_Nhdr header;
    char name[4];
  } note;
  uint64_t at = 0;
  for (int i = 0; i < kMostNotes && at + sizeof note <= segment.p_filesz; i++) {
    if (!read_at(fd, segment.p_offset + at, &note, sizeof note)) return false;
    if (note.header.n_namesz == sizeof kName && memcmp(note.name, kName, sizeof kName) == 0)
      return true;
    auto padded = [](uint64_t size) { return (size + 3) & ~uint64_t{3}; };
    at += sizeof note.header + padded(note.header.n_namesz) + padded(note.header.n_descsz);
  }
  return false;
}

Linking linking_of_elf(int fd, const Elf64_Ehdr& header) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64)
    return Linking::kForeign;
  Linking linking = Linking::kRawCalls;
  for (unsigned i = 0; i < header.e_phnum; i++) {
    Elf64_Phdr segment;
    if (!read_at(fd, header.e_phoff + uint64_t{i} * header.e_phentsize, &segment, sizeof segment))
      return Linking::kForeign;
    if (segment.p_type == PT_INTERP) linking = Linking::kDynamic;
    if (segment.p_type == PT_NOTE && has_go_note(fd, segment)) return Linking::kRawCalls;
  }
  return linking;
}

}  // namespace

Linking linking_of(const char* file) {
  const int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC));
  if (fd < 0) return Linking::kUnknown;
  Elf64_Ehdr header;
  const bool is_elf =
      read_at(fd, 0, &header, sizeof header) && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0;
  const Linking linking = is_elf ? linking_of_elf(fd, header) : Linking::kDynamic;
  syscall(SYS_close, fd);
  return linking;
}

}  // namespace shunt::exec
