// rr against picks recorded from Linux 6.1.176 IPVS (ipvsadm 1.31): one SYN a connection, servers
// 1, 2, 3, ... added in that order, edits between the packets.
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "unit/ipvs/services.h"

namespace shunt::ipvs {
namespace {

Service with_servers(int count) {
  Service service = service_at("198.51.100.1", 80);
  service.scheduler = &kRoundRobin;
  for (int n = 1; n <= count; n++) add(service, server_at(n, "10.1.0." + std::to_string(n), 80));
  return service;
}

/// Applies "+N" (add), "-N" (remove), "N=W" (weight) and for a plain number expects that pick;
/// returns the script as it really went.
std::string play(Service& service, const std::string& script) {
  SchedulerState state;
  std::istringstream words(script);
  std::string word, played;
  while (words >> word) {
    auto equals = word.find('=');
    if (word[0] == '+') {
      int n = std::stoi(word.substr(1));
      add(service, server_at(n, "10.1.0." + std::to_string(n), 80));
    } else if (word[0] == '-') {
      remove(service, std::stoi(word.substr(1)));
    } else if (equals != std::string::npos) {
      set_weight(service, std::stoi(word), std::stoi(word.substr(equals + 1)));
    } else {
      EXPECT_TRUE(kRoundRobin.build(service, {}));
      word = std::to_string(picked(service, kRoundRobin.pick(service, state, {}, idle())));
    }
    played += (played.empty() ? "" : " ") + word;
  }
  return played;
}

struct Case {
  int servers;
  const char* script;
};

TEST(RoundRobin, PicksAsLinuxDoes) {
  const Case cases[] = {
      {1, "1 1 1"},
      {2, "1=0 2=0 0 0 0"},
      {3, "3 2 1 3 2 1 3 2 1"},
      {3, "1=5 2=0 3 1 3 1 3 1"},
      {4, "1=4 2=4 3=2 4=2 4 3 2 1 4 3 2 1"},
      {10, "10 9 8 7 6 5 4 3 2 1 10 9 8"},
      // A server added at the head waits for the turn to come round.
      {3, "3 2 +4 1 4 3 2 1 4 3 2"},
      {3, "3 +4 2 1 4 3 2 1 4 3"},
      {3, "3 2 1 +4 4 3 2 1 4 3 2 1"},
      {3, "+4 4 3 2 1 4 3 2 1"},
      // The server picked last is removed: next is the one that came after it.
      {3, "3 2 -2 1 3 1 3 1 3"},
      {3, "3 -3 2 1 2 1 2 1"},
      {3, "3 2 1 -1 3 2 3 2 3 2"},
      {3, "3 2 1 3 2 1 3 -2 1 3 1 3"},
      {3, "3 +4 -3 2 1 4 2 1 4"},
      {3, "3 2 -2 +2 1 2 3 1 2 3"},
      {3, "3 -3 +3 3 2 1"},
      {3, "3 2 -2 +2 -3 1 2 1"},
      {5, "5 4 3 -4 -3 2 1 5 2 1 5 2 1"},
      {5, "5 4 3 -3 -4 2 1 5 2 1 5 2 1"},
      {5, "5 4 3 -5 -3 +6 2 1 6 4 2 1 6 4"},
      {3, "3 -1 -2 -3 0 0 +4 +5 +6 6 5 4 6 5 4"},
      // Weights: a server at 0 is passed over and keeps its place.
      {3, "3 2 1=0 2=0 3=0 0 0 1=1 2=1 3=1 1 3 2 1 3 2"},
      {3, "3 2 2=0 1 3 1 3 1 2=1 3 2 1 3 2 1"},
      {3, "3 2 1=0 3 2 3 2 3 1=1 2 1 3 2 1 3"},
      {3, "3 2 1 3 2 1 3 3=6 2 1 3 2 1 3"},
  };
  for (const Case& c : cases) {
    Service service = with_servers(c.servers);
    EXPECT_EQ(play(service, c.script), c.script) << c.servers << " servers";
  }
}

/// The kernel's own structure: a list with a sentinel and a cursor that is a node of it.
class CursorInAList {
 public:
  void add(uint32_t id, int weight) { x_list.insert(std::next(x_list.begin()), {id, weight}); }
  void remove(uint32_t id) {
    auto node = find(id);
    if (x_cursor == node) --x_cursor;
    x_list.erase(node);
  }
  void set_weight(uint32_t id, int weight) { find(id)->weight = weight; }
  uint32_t pick() {
    auto node = x_cursor;
    do {
      if (++node == x_list.end()) node = x_list.begin();
      if (node->weight > 0) return (x_cursor = node)->id;
    } while (node != x_cursor);
    return 0;
  }

 private:
  struct Node {
    uint32_t id;
    int weight;
  };
  std::list<Node>::iterator find(uint32_t id) { return std::ranges::find(x_list, id, &Node::id); }
  std::list<Node> x_list = {{0, 0}};  // the sentinel
  std::list<Node>::iterator x_cursor = x_list.begin();
};

TEST(RoundRobin, PicksAsACursorInAListAfterAnyEdits) {
  std::mt19937 random(1);
  auto below = [&](size_t n) { return static_cast<uint32_t>(random() % n); };
  Service service = with_servers(0);
  SchedulerState state;
  CursorInAList list;
  uint32_t next_id = 1, pick = 0, gone = 0;
  int picks = 0;
  for (int round = 0; round < 20000; round++) {
    auto& servers = service.servers;
    const uint32_t edit = below(5);
    if (edit == 0 && servers.size() < 8) {
      int weight = below(4) ? 1 : 0;
      uint32_t id = gone && below(2) ? gone : next_id++;  // one may come back
      gone = 0;
      add(service, server_at(id, "10.1.0.1", 80, weight));
      list.add(id, weight);
    } else if (edit == 1 && !servers.empty()) {
      bool picked_last = below(2) && std::ranges::find(servers, pick, &Server::id) != servers.end();
      uint32_t id = picked_last ? pick : servers[below(servers.size())].id;
      gone = id;
      remove(service, id);
      list.remove(id);
    } else if (edit == 4 && !servers.empty()) {
      uint32_t id = servers[below(servers.size())].id;
      int weight = below(4) ? 1 : 0;
      set_weight(service, id, weight);
      list.set_weight(id, weight);
    }
    if (below(3) == 0) continue;
    pick = picked(service, kRoundRobin.pick(service, state, {}, idle()));
    ASSERT_EQ(pick, list.pick()) << "round " << round;
    picks += pick != 0;
  }
  EXPECT_GT(picks, 8000);
}

TEST(RoundRobin, SurvivesTheLossOfMoreServersThanItRemembers) {
  Service service = with_servers(5);
  EXPECT_EQ(play(service, "5 4 3 -3 -2 -1 -4 5 5"), "5 4 3 -3 -2 -1 -4 5 5");
}

TEST(RoundRobin, HasNoPickWithoutServers) {
  Service service = with_servers(0);
  SchedulerState state;
  Pick pick = kRoundRobin.pick(service, state, {}, idle());
  EXPECT_EQ(pick.index, Pick::kNoPick);
  EXPECT_EQ(pick.slot, -1);
}

TEST(RoundRobin, KeepsNoTable) {
  Service service = with_servers(2);
  service.table = {1, 2, 3};
  ASSERT_TRUE(kRoundRobin.build(service, {}));
  EXPECT_TRUE(service.table.empty());
}

}  // namespace
}  // namespace shunt::ipvs
