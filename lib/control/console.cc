#include "control/console.h"

#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ostream>
#include <sstream>
#include <utility>

#include "control/journal.h"
#include "control/line_editor.h"

namespace shunt::control {
namespace {

/// Longest line that is no terminal's, in bytes.
constexpr size_t kMaxLine = 64 * 1024;

constexpr const char* kHelp =
    "show port stats all   packets and bytes of every port\n"
    "show config           services, servers and changed knobs, as a rules file\n"
    "show journal          the revision of the rules, and whether it is on disk\n"
    "ipvsadm ARGUMENTS     any command of ipvsadm; its name may be left out, e.g. -L -n --stats\n"
    "ipvsadm -h            what ipvsadm knows\n"
    "help                  this text\n"
    "quit                  end the daemon\n";

}  // namespace

Console::Console(sd_event* loop, Executor& executor, Actions actions, std::ostream& out)
    : x_loop(loop), x_executor(executor), x_actions(std::move(actions)), x_out(out) {}

Console::~Console() {
  x_client.reset();
  end();
}

void Console::execute(const std::string& line) {
  std::istringstream in(line);
  std::string first;
  if (!(in >> first)) return;
  bool named = first == "ipvsadm" || first == "shuntadm";
  if (named || first.starts_with('-')) {
    run(ipvs::split_line(line, "ipvsadm"));
  } else if (first == "show") {
    std::string what, word;
    while (in >> word) what += (what.empty() ? "" : " ") + word;
    show(what);
  } else if (first == "help" || first == "?") {
    x_out << kHelp;
  } else if (first == "quit" || first == "exit") {
    x_actions.quit();
  } else {
    x_out << "unknown command '" << first << "'; 'help' lists what there is\n";
  }
  x_out.flush();
}

void Console::show(const std::string& what) {
  if (what == "port stats all") {
    x_out << x_actions.port_stats();
  } else if (what == "config") {
    run({"-S", "-n"}, knob_rules(x_executor.knobs()));
  } else if (what == "journal") {
    show_journal();
  } else {
    x_out << "cannot show '" << what << "'; 'help' lists what there is\n";
  }
}

void Console::run(std::vector<std::string> words, std::string last) {
  auto program = [this, words = std::move(words),
                  last = std::move(last)](const ipvs::Exchange& exchange) {
    // A restore would wait for lines of its own: here it gets none.
    std::istringstream nothing;
    ipvs::run_ipvsadm(words, "ipvsadm", ipvs::numeric_names(), exchange, {nothing, x_out, x_out});
    x_out << last << std::flush;
  };
  auto client = InnerClient::start(x_loop, x_executor, program, [this] {
    x_client.reset();
    go_on();
  });
  if (client)
    x_client = std::move(*client);
  else
    x_out << client.error().message << '\n';
}

void Console::show_journal() {
  x_out << "revision " << x_executor.revision();
  if (const Journal* journal = x_executor.journal()) {
    x_out << ", on disk " << journal->on_disk() << "\n"
          << journal->path() << ": " << journal->size() << " bytes\n";
    if (const std::string trouble = journal->trouble(); !trouble.empty()) x_out << trouble << "\n";
  } else {
    x_out << "\njournal = off: a restart begins with the rules file\n";
  }
}

/// Behind a command: the next prompt, or the next line, when the disk has what was changed.
void Console::go_on() {
  x_is_prompt_due = true;
  wake();
}

/// Then no line is read before wake(): the next prompt says that the last command is done.
bool Console::has_to_wait() {
  const bool waits = is_busy() || !x_executor.is_kept(x_executor.revision());
  if (x_source) sd_event_source_set_enabled(x_source, waits ? SD_EVENT_OFF : SD_EVENT_ON);
  return waits;
}

void Console::wake() {
  if (!x_source || has_to_wait() || !std::exchange(x_is_prompt_due, false)) return;
  if (x_editor)
    x_editor->next();
  else
    execute_input();
}

Result<void> Console::read_from(int fd) {
  x_fd = fd;
  if (fd == STDIN_FILENO && LineEditor::is_possible()) {
    auto editor = LineEditor::start();
    if (!editor) return editor.error();
    x_editor = std::move(*editor);
    x_fd = x_editor->fd();
  }
  static constexpr auto handle = [](void* self) {
    auto* console = static_cast<Console*>(self);
    if (console->x_editor)
      console->edited();
    else
      console->readable();
    return 0;
  };
  int added = sd_event_add_io(
      x_loop, &x_source, x_fd, EPOLLIN,
      [](sd_event_source*, int, uint32_t, void* self) { return handle(self); }, this);
  if (added == -EPERM) {  // a regular file is always ready, which epoll refuses to watch
    added = sd_event_add_defer(
        x_loop, &x_source, [](sd_event_source*, void* self) { return handle(self); }, this);
    if (added >= 0) added = sd_event_source_set_enabled(x_source, SD_EVENT_ON);
  }
  if (added < 0)
    return Error{std::string("cannot read the console from standard input: ") +
                 std::strerror(-added)};
  return {};
}

void Console::edited() {
  auto line = x_editor->take();
  if (!line) {
    end();
    return x_actions.quit();
  }
  execute(*line);
  if (x_editor) go_on();
}

void Console::readable() {
  char bytes[4096];
  ssize_t n = read(x_fd, bytes, sizeof bytes);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n > 0) x_input.append(bytes, static_cast<size_t>(n));
  x_is_over = n <= 0;
  if (x_is_over && !x_input.empty()) x_input += '\n';
  execute_input();
}

/// Line by line. While one is under way, or waits for the disk, nothing is read.
void Console::execute_input() {
  for (size_t newline; (newline = x_input.find('\n')) != x_input.npos;) {
    std::string line = x_input.substr(0, newline);
    x_input.erase(0, newline + 1);
    execute(line);
    if (has_to_wait()) {
      x_is_prompt_due = true;
      return;
    }
  }
  if (x_input.size() > kMaxLine) {
    x_out << "a line has at most " << kMaxLine << " bytes\n" << std::flush;
    x_input.clear();
  }
  if (x_is_over) end();
}

void Console::end() {
  x_source = sd_event_source_disable_unref(x_source);
  x_editor.reset();
}

}  // namespace shunt::control
