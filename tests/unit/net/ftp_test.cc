// What the helper for FTP reads and writes. Texts are those of Debian's ftp, lftp, curl and vsftpd,
// and others that Linux's ip_vs_ftp takes, or not.
#include "net/ftp.h"

#include <gtest/gtest.h>

#include <string>

namespace shunt::net {
namespace {

const Address kServer = *parse_address("10.1.0.1"), kServer6 = *parse_address("2001:db8:1::1");

std::string active(const std::string& segment, Family family = Family::kV4) {
  auto place = ftp_active(segment, family);
  return place ? to_string(place->endpoint) : "none";
}

/// The endpoint, and the bytes that name it.
std::string answer(const std::string& segment, FtpMode mode, const Address& server = kServer) {
  auto place = ftp_answer(segment, mode, server);
  if (!place) return "none";
  return to_string(place->endpoint) + " " + segment.substr(place->begin, place->end - place->begin);
}

TEST(FtpPassive, IsAskedForAnywhereInASegment) {
  EXPECT_EQ(ftp_passive("PASV\r\n", Family::kV4), FtpMode::kPassive);
  EXPECT_EQ(ftp_passive("pasv\r\n", Family::kV4), FtpMode::kPassive);
  EXPECT_EQ(ftp_passive("TYPE I\r\nPASV\r\nRETR x\r\n", Family::kV4), FtpMode::kPassive);
  EXPECT_EQ(ftp_passive("PASV\r", Family::kV4), FtpMode::kNone);
  EXPECT_EQ(ftp_passive("PASV\r\n", Family::kV6), FtpMode::kNone);
  EXPECT_EQ(ftp_passive("EPSV\r\n", Family::kV4), FtpMode::kExtendedPassive);
  EXPECT_EQ(ftp_passive("EPSV\r\n", Family::kV6), FtpMode::kExtendedPassive);
  EXPECT_EQ(ftp_passive("epsv 1\r\n", Family::kV4), FtpMode::kExtendedPassive);
  EXPECT_EQ(ftp_passive("EPSV 2\r\n", Family::kV6), FtpMode::kExtendedPassive);
  EXPECT_EQ(ftp_passive("EPSV 2\r\n", Family::kV4), FtpMode::kNone);
  EXPECT_EQ(ftp_passive("EPSV ALL\r\n", Family::kV4), FtpMode::kNone);
  EXPECT_EQ(ftp_passive("EPSV 1", Family::kV4), FtpMode::kNone);
  EXPECT_EQ(ftp_passive("", Family::kV4), FtpMode::kNone);
}

TEST(FtpActive, BeginsASegment) {
  EXPECT_EQ(active("PORT 203,0,113,5,156,64\r\n"), "203.0.113.5:40000");
  EXPECT_EQ(active("port   203,0,113,5,0,20\r\n"), "203.0.113.5:20");
  EXPECT_EQ(active("PORT 203,0,113,5,156,64"), "none") << "it has to end";
  EXPECT_EQ(active("PORT 203,0,113,5,156\r\n"), "none");
  EXPECT_EQ(active("PORT 203.0.113.5,156,64\r\n"), "none");
  EXPECT_EQ(active(" PORT 203,0,113,5,156,64\r\n"), "none");
  EXPECT_EQ(active("PORT 203,0,113,5,156,64\r\n", Family::kV6), "none");
}

TEST(FtpActive, HasAnExtendedForm) {
  EXPECT_EQ(active("EPRT |1|203.0.113.5|40000|\r\n"), "203.0.113.5:40000");
  EXPECT_EQ(active("EPRT !1!203.0.113.5!40000!\r\n"), "203.0.113.5:40000");
  EXPECT_EQ(active("EPRT |2|2001:db8::5|40000|\r\n", Family::kV6), "[2001:db8::5]:40000");
  EXPECT_EQ(active("EPRT |2|2001:db8::5|40000|\r\n"), "none") << "another family's";
  EXPECT_EQ(active("EPRT |1|203.0.113.5|40000\r\n"), "none");
  EXPECT_EQ(active("EPRT |1|203.0.113|40000|\r\n"), "none");
  EXPECT_EQ(active("EPRT |1|203.0.113.5|0|\r\n"), "none");
  EXPECT_EQ(active("EPRT |||40000|\r\n"), "none");
  EXPECT_EQ(active("EPRT |1|" + std::string(80, '1') + "|40000|\r\n"), "none");
}

TEST(FtpAnswer, NamesTheServersEndpoint) {
  const FtpMode passive = FtpMode::kPassive;
  EXPECT_EQ(answer("227 Entering Passive Mode (10,1,0,1,156,64).\r\n", passive),
            "10.1.0.1:40000 10,1,0,1,156,64");
  EXPECT_EQ(answer("227 =10,1,0,1,156,64\r\n", passive), "10.1.0.1:40000 10,1,0,1,156,64");
  EXPECT_EQ(answer("227 Entering Passive Mode (10,1,0,1,156", passive), "none");
  EXPECT_EQ(answer("229 Entering Extended Passive Mode (|||40000|)\r\n", passive), "none");
  EXPECT_EQ(answer("227", passive), "none");
}

TEST(FtpAnswer, HasAnExtendedForm) {
  const FtpMode extended = FtpMode::kExtendedPassive;
  EXPECT_EQ(answer("229 Entering Extended Passive Mode (|||40000|)\r\n", extended),
            "10.1.0.1:40000 |||40000|");
  EXPECT_EQ(answer("229 Extended (|||40000|)\r\n", extended, kServer6),
            "[2001:db8:1::1]:40000 |||40000|");
  EXPECT_EQ(answer("229 x (|1|10.1.0.9|40000|)\r\n", extended),
            "10.1.0.9:40000 |1|10.1.0.9|40000|");
  EXPECT_EQ(answer("229 x (|2|::1|40000|)\r\n", extended), "none");
  EXPECT_EQ(answer("229 x (||10.1.0.9|40000|)\r\n", extended), "none");
  EXPECT_EQ(answer("227 x (10,1,0,1,156,64)\r\n", extended), "none");
  EXPECT_EQ(answer("229 x (|||40000|)\r\n", FtpMode::kNone), "none");
}

TEST(FtpText, ReplacesTheAnswers) {
  char text[kMostFtpText];
  size_t n = ftp_text(text, {*parse_address("198.51.100.1"), 40000}, false);
  EXPECT_EQ(std::string(text, n), "198,51,100,1,156,64");
  n = ftp_text(text, {*parse_address("255.255.255.255"), 65535}, false);
  EXPECT_EQ(std::string(text, n), "255,255,255,255,255,255");
  EXPECT_LE(n, kMostFtpText);
  n = ftp_text(text, {kServer6, 40000}, true);
  EXPECT_EQ(std::string(text, n), "|||40000|");
}

TEST(Ftp, ReadsNothingBeyondASegment) {
  const std::string whole[] = {"PORT 203,0,113,5,156,64\r\n", "EPRT |1|203.0.113.5|40000|\r\n",
                               "227 x (10,1,0,1,156,64)\r\n", "229 x (|||40000|)\r\n",
                               "TYPE I\r\nEPSV 1\r\n"};
  for (const std::string& text : whole)
    for (size_t n = 0; n <= text.size(); n++) {
      std::string cut = text.substr(0, n);  // its own allocation, for sanitizers
      cut.shrink_to_fit();
      ftp_passive({cut.data(), n}, Family::kV4);
      ftp_active({cut.data(), n}, Family::kV4);
      ftp_answer({cut.data(), n}, FtpMode::kPassive, kServer);
      ftp_answer({cut.data(), n}, FtpMode::kExtendedPassive, kServer);
    }
}

}  // namespace
}  // namespace shunt::net
