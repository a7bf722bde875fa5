#include "control/console.h"

#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ostream>
#include <sstream>

#include "control/line_editor.h"

namespace shunt::control {
namespace {

/// Longest line that is no terminal's, in bytes.
constexpr size_t kMaxLine = 64 * 1024;

constexpr const char* kHelp =
    "show port stats all   packets and bytes of every port\n"
    "show config           services, servers and changed knobs, as a rules file\n"
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
  auto client = InnerClient::start(x_loop, x_executor, program, [this] { ran(); });
  if (client)
    x_client = std::move(*client);
  else
    x_out << client.error().message << '\n';
}

void Console::ran() {
  x_client.reset();
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
  if (x_editor && !is_busy()) x_editor->next();
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

/// Line by line. While one is under way nothing is read.
void Console::execute_input() {
  for (size_t newline; !is_busy() && (newline = x_input.find('\n')) != x_input.npos;) {
    std::string line = x_input.substr(0, newline);
    x_input.erase(0, newline + 1);
    execute(line);
  }
  if (x_source) sd_event_source_set_enabled(x_source, is_busy() ? SD_EVENT_OFF : SD_EVENT_ON);
  if (is_busy()) return;
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
