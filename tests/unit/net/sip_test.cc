// What counts as a Call-ID. The expectations marked "kernel" were asked of Linux 6.1.176: packets
// with these messages, to a service with --pe sip -o.
#include "net/sip.h"

#include <gtest/gtest.h>

#include <string>

namespace shunt::net {
namespace {

std::string message(const std::string& headers) {
  return "INVITE sip:b@example.org SIP/2.0\r\n" + headers + "\r\n";
}

TEST(CallId, IsTheValueOfItsHeader) {
  EXPECT_EQ(call_id(message("Via: SIP/2.0/UDP a\r\nCall-ID: 843817637684230@998sdasdh09\r\n")),
            "843817637684230@998sdasdh09");
  EXPECT_EQ(call_id(message("CALL-id:x\r\n")), "x");
  EXPECT_EQ(call_id(message("i: compact@host\r\n")), "compact@host");
  EXPECT_EQ(call_id(message("I:a\r\n")), "a");
  EXPECT_EQ(call_id("SIP/2.0 200 OK\r\nCall-ID: answer\r\n\r\n"), "answer");
  EXPECT_EQ(call_id("whatever\nCall-ID: bare-newlines\n"), "bare-newlines");
}

TEST(CallId, NeedsALineOfItsOwnThatEnds) {
  EXPECT_EQ(call_id("Call-ID: first-line\r\n"), "");
  EXPECT_EQ(call_id("x\r\nCall-ID: no-end"), "");
  EXPECT_EQ(call_id(message("Call-ID: a b\r\n")), "");
  EXPECT_EQ(call_id(message("Call-ID: a;b\r\n")), "");
  EXPECT_EQ(call_id(message("X-Call-ID: a\r\n")), "");
  EXPECT_EQ(call_id(message(" Call-ID: continued\r\n")), "");
}

TEST(CallId, ToleratesBlanksAndContinuedLines) {
  EXPECT_EQ(call_id(message("Call-ID   :   a@b\r\n")), "a@b");
  EXPECT_EQ(call_id(message("Call-ID:\r\n  a@b\r\n")), "a@b");
  EXPECT_EQ(call_id(message("Call-ID\t:\ta@b\r\n")), "a@b");
}

TEST(CallId, ADefectiveHeaderEndsTheSearchOrIsSkipped) {
  EXPECT_EQ(call_id(message("Call-IDs: a\r\nCall-ID: b\r\n")), "");
  EXPECT_EQ(call_id(message("If: a\r\nCall-ID: b\r\n")), "b");
  EXPECT_EQ(call_id(message("Call-ID: ;\r\n" + std::string(60, 'x') + "\r\nCall-ID: b\r\n")), "b");
  EXPECT_EQ(call_id(message("Call-ID: a@\r\n")), "");
}

TEST(CallId, HasItsCharacters) {
  std::string all = "Az09!\"%'()*+-./:<>?[\\]_`{}~";
  EXPECT_EQ(call_id(message("Call-ID: " + all + "@" + all + "\r\n")), all + "@" + all);
  EXPECT_EQ(call_id(message("Call-ID: caf\xe9\r\n")), "caf\xe9");
  for (char c : std::string("#$&,=;@^| \t\xd7"))
    EXPECT_EQ(call_id(message("Call-ID: a" + std::string(1, c) + "\r\n")), "") << c;
}

TEST(CallId, IsAtMost255BytesLong) {
  std::string longest(kMostCallId, 'c');
  EXPECT_EQ(call_id(message("Call-ID: " + longest + "\r\n")), longest);
  EXPECT_EQ(call_id(message("Call-ID: " + longest + "c\r\n")), "");
}

TEST(CallId, NothingEndsASearchBeyondTheBytes) {
  const std::string whole = message("Call-ID  :\r\n \t a@b\r\ni: c\r\n");
  for (size_t n = 0; n <= whole.size(); n++) {
    std::string cut = whole.substr(0, n);  // its own allocation, for sanitizers
    std::string_view found = call_id({cut.data(), cut.size()});
    EXPECT_TRUE(found.empty() || found == "a@b" || found == "c") << n;
  }
  EXPECT_EQ(call_id({}), "");
}

}  // namespace
}  // namespace shunt::net
