#include "control/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace shunt::control {
namespace {

constexpr int kHistory = 200;  ///< lines

/// Reads one character for libedit; end of input when `stop` (its client data) is readable.
int read_character(EditLine* editor, wchar_t* to) {
  void* stop = nullptr;
  el_get(editor, EL_CLIENTDATA, &stop);
  pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {*static_cast<int*>(stop), POLLIN, 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    if (fds[1].revents != 0) return 0;
    unsigned char byte;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return static_cast<int>(n);
    *to = byte;  // commands are ASCII; other bytes are passed on one by one
    return 1;
  }
}

}  // namespace

bool LineEditor::is_possible() {
  const char* terminal = std::getenv("TERM");
  return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 && terminal && *terminal &&
         std::strcmp(terminal, "dumb") != 0;
}

Result<std::unique_ptr<LineEditor>> LineEditor::start() {
  std::unique_ptr<LineEditor> editor(new LineEditor);
  editor->x_ready = eventfd(0, EFD_CLOEXEC);
  editor->x_stop = eventfd(0, EFD_CLOEXEC);
  if (editor->x_ready < 0 || editor->x_stop < 0)
    return Error{std::string("cannot edit lines: ") + std::strerror(errno)};
  // Signals are for the event loop's thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  editor->x_thread = std::thread(&LineEditor::run, editor.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return editor;
}

LineEditor::~LineEditor() {
  if (x_thread.joinable()) {
    x_stopping = true;
    eventfd_write(x_stop, 1);
    x_turn.release();
    x_thread.join();
  }
  if (x_ready >= 0) close(x_ready);
  if (x_stop >= 0) close(x_stop);
}

std::optional<std::string> LineEditor::take() {
  eventfd_t ignored;
  eventfd_read(x_ready, &ignored);
  return std::move(x_line);
}

void LineEditor::run() {
  EditLine* editor = el_init("shuntd", stdin, stdout, stderr);
  History* history_list = history_init();
  HistEvent event;
  history(history_list, &event, H_SETSIZE, kHistory);
  el_set(
      editor, EL_PROMPT, +[](EditLine*) { return const_cast<char*>("shunt> "); });
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_SIGNAL, 0);
  el_set(editor, EL_HIST, history, history_list);
  el_set(editor, EL_CLIENTDATA, &x_stop);
  el_set(editor, EL_GETCFN, read_character);
  for (;;) {
    x_turn.acquire();
    if (x_stopping) break;
    int length = 0;
    const char* text = el_gets(editor, &length);
    x_line.reset();
    if (text && length > 0) {
      x_line.emplace(text, static_cast<size_t>(length));
      while (x_line->ends_with('\n') || x_line->ends_with('\r')) x_line->pop_back();
      if (!x_line->empty()) history(history_list, &event, H_ENTER, x_line->c_str());
    }
    bool end = !x_line;
    eventfd_write(x_ready, 1);
    if (end) break;
  }
  history_end(history_list);
  el_end(editor);
}

}  // namespace shunt::control
