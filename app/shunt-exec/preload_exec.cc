// The functions of the C library by which a program executes others: those that a library cannot
// serve are executed by shunt-exec, which supervises them. No allocation, since a child of vfork()
// calls them. (execl() and its like call none of these.)
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compat/wire.h"
#include "linking.h"
#include "next.h"

using namespace shunt;
using namespace shunt::exec;

namespace {

/// More arguments than programs that a library cannot serve are given.
constexpr size_t kMostArguments = 4096;

/// shunt-exec's own arguments, and behind them the program's.
struct Supervised {
  const char* shunt_exec = nullptr;  ///< null: the library serves the program
  const char* words[kMostArguments + 8];
};

/// What to execute instead of `file`, which needs no search.
void prepare(Supervised& to, const char* file, char* const* arguments) {
  const char* shunt_exec = getenv(compat::kProgramVariable);
  const char* socket = getenv(compat::kSocketVariable);
  if (!shunt_exec || !socket || linking_of(file) != Linking::kRawCalls) return;
  const char* const own[] = {"shunt-exec", "--method", "seccomp", "--socket", socket, "--", file};
  size_t count = 0;
  for (const char* word : own) to.words[count++] = word;
  if (arguments[0])
    for (size_t i = 1; arguments[i]; i++) {
      if (i == kMostArguments) return;  // the kernel's, and not served
      to.words[count++] = arguments[i];
    }
  to.words[count] = nullptr;
  to.shunt_exec = shunt_exec;
}

/// The same for a file that execvp() searches for.
void search(Supervised& to, char (&file)[PATH_MAX], const char* name, char* const* arguments) {
  if (strchr(name, '/')) return prepare(to, name, arguments);
  const char* path = getenv("PATH");
  for (const char* at = path ? path : "/bin:/usr/bin"; *at != '\0';) {
    const size_t length = strcspn(at, ":"), size = strlen(name);
    if (length != 0 && length + size + 2 <= sizeof file) {
      memcpy(file, at, length);
      file[length] = '/';
      memcpy(file + length + 1, name, size + 1);
      if (access(file, X_OK) == 0) return prepare(to, file, arguments);
    }
    at += length;
    if (*at == ':') at++;
  }
}

char* const* words_of(const Supervised& supervised) {
  return const_cast<char* const*>(supervised.words);
}

}  // namespace

extern "C" {

int execve(const char* file, char* const arguments[], char* const environment[]) {
  Supervised supervised;
  prepare(supervised, file, arguments);
  if (!supervised.shunt_exec) return NEXT(execve)(file, arguments, environment);
  return NEXT(execve)(supervised.shunt_exec, words_of(supervised), environment);
}

int execv(const char* file, char* const arguments[]) {
  return execve(file, arguments, environ);
}

int execvpe(const char* name, char* const arguments[], char* const environment[]) {
  Supervised supervised;
  char file[PATH_MAX];
  search(supervised, file, name, arguments);
  if (!supervised.shunt_exec) return NEXT(execvpe)(name, arguments, environment);
  return NEXT(execve)(supervised.shunt_exec, words_of(supervised), environment);
}

int execvp(const char* name, char* const arguments[]) {
  return execvpe(name, arguments, environ);
}

int posix_spawn(pid_t* process, const char* file, const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const arguments[],
                char* const environment[]) {
  Supervised supervised;
  prepare(supervised, file, arguments);
  if (!supervised.shunt_exec)
    return NEXT(posix_spawn)(process, file, actions, attributes, arguments, environment);
  return NEXT(posix_spawn)(process, supervised.shunt_exec, actions, attributes,
                           words_of(supervised), environment);
}

int posix_spawnp(pid_t* process, const char* name, const posix_spawn_file_actions_t* actions,
                 const posix_spawnattr_t* attributes, char* const arguments[],
                 char* const environment[]) {
  Supervised supervised;
  char file[PATH_MAX];
  search(supervised, file, name, arguments);
  if (!supervised.shunt_exec)
    return NEXT(posix_spawnp)(process, name, actions, attributes, arguments, environment);
  return NEXT(posix_spawn)(process, supervised.shunt_exec, actions, attributes,
                           words_of(supervised), environment);
}

}  // extern "C"
