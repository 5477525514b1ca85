/**
  Licences, as data: values of `meta.license`.

  Each is `{ shortName; fullName; spdxId; url; free; deprecated; redistributable; }`; those that SPDX does not list have no `spdxId`.
  Names are those of nixpkgs, ids and titles those of the SPDX licence list.
*/
{ lib }:
let
  make = shortName: license:
    {
      inherit shortName;
      free = true;
      deprecated = false;
      redistributable = license.free or true;
    }
    // lib.optionalAttrs (license ? spdxId) { url = "https://spdx.org/licenses/${license.spdxId}.html"; }
    // license;

  spdx = shortName: row: make shortName { spdxId = builtins.elemAt row 0; fullName = builtins.elemAt row 1; };
  unfree = shortName: row: make shortName { spdxId = builtins.elemAt row 0; fullName = builtins.elemAt row 1; free = false; };
in
builtins.mapAttrs spdx {
  abstyles = [ "Abstyles" "Abstyles License" ];
  afl20 = [ "AFL-2.0" "Academic Free License v2.0" ];
  afl21 = [ "AFL-2.1" "Academic Free License v2.1" ];
  afl3 = [ "AFL-3.0" "Academic Free License v3.0" ];
  agpl3Only = [ "AGPL-3.0-only" "GNU Affero General Public License v3.0 only" ];
  agpl3Plus = [ "AGPL-3.0-or-later" "GNU Affero General Public License v3.0 or later" ];
  aladdin = [ "Aladdin" "Aladdin Free Public License" ];
  aml = [ "AML" "Apple MIT License" ];
  apsl10 = [ "APSL-1.0" "Apple Public Source License 1.0" ];
  apsl20 = [ "APSL-2.0" "Apple Public Source License 2.0" ];
  artistic1 = [ "Artistic-1.0" "Artistic License 1.0" ];
  artistic1-cl8 = [ "Artistic-1.0-cl8" "Artistic License 1.0 w/clause 8" ];
  artistic2 = [ "Artistic-2.0" "Artistic License 2.0" ];
  asl11 = [ "Apache-1.1" "Apache License 1.1" ];
  asl20 = [ "Apache-2.0" "Apache License 2.0" ];
  beerware = [ "Beerware" "Beerware License" ];
  bitstreamVera = [ "Bitstream-Vera" "Bitstream Vera Font License" ];
  bitTorrent10 = [ "BitTorrent-1.0" "BitTorrent Open Source License v1.0" ];
  bitTorrent11 = [ "BitTorrent-1.1" "BitTorrent Open Source License v1.1" ];
  blueOak100 = [ "BlueOak-1.0.0" "Blue Oak Model License 1.0.0" ];
  bola11 = [ "BOLA-1.1" "Buena Onda License Agreement v1.1" ];
  boost = [ "BSL-1.0" "Boost Software License 1.0" ];
  bsd0 = [ "0BSD" "BSD Zero Clause License" ];
  bsd1 = [ "BSD-1-Clause" "BSD 1-Clause License" ];
  bsd2 = [ "BSD-2-Clause" "BSD 2-Clause \"Simplified\" License" ];
  bsd2Patent = [ "BSD-2-Clause-Patent" "BSD-2-Clause Plus Patent License" ];
  bsd2WithViews = [ "BSD-2-Clause-Views" "BSD 2-Clause with views sentence" ];
  bsd3 = [ "BSD-3-Clause" "BSD 3-Clause \"New\" or \"Revised\" License" ];
  bsd3Clear = [ "BSD-3-Clause-Clear" "BSD 3-Clause Clear License" ];
  bsd3Lbnl = [ "BSD-3-Clause-LBNL" "Lawrence Berkeley National Labs BSD variant license" ];
  bsdAxisNoDisclaimerUnmodified = [ "BSD-Axis-Nomod" "BSD-Axis without modification" ];
  bsdOriginal = [ "BSD-4-Clause" "BSD 4-Clause \"Original\" or \"Old\" License" ];
  bsdOriginalShortened = [ "BSD-4-Clause-Shortened" "BSD 4 Clause Shortened" ];
  bsdOriginalUC = [ "BSD-4-Clause-UC" "BSD-4-Clause (University of California-Specific)" ];
  bsdProtection = [ "BSD-Protection" "BSD Protection License" ];
  bzip2 = [ "bzip2-1.0.6" "bzip2 and libbzip2 License v1.0.6" ];
  caldera = [ "Caldera" "Caldera License" ];
  cal10 = [ "CAL-1.0" "Cryptographic Autonomy License 1.0" ];
  cc0 = [ "CC0-1.0" "Creative Commons Zero v1.0 Universal" ];
  cc-by-10 = [ "CC-BY-1.0" "Creative Commons Attribution 1.0 Generic" ];
  cc-by-20 = [ "CC-BY-2.0" "Creative Commons Attribution 2.0 Generic" ];
  cc-by-25 = [ "CC-BY-2.5" "Creative Commons Attribution 2.5 Generic" ];
  cc-by-30 = [ "CC-BY-3.0" "Creative Commons Attribution 3.0 Unported" ];
  cc-by-40 = [ "CC-BY-4.0" "Creative Commons Attribution 4.0 International" ];
  cc-by-sa-10 = [ "CC-BY-SA-1.0" "Creative Commons Attribution Share Alike 1.0 Generic" ];
  cc-by-sa-20 = [ "CC-BY-SA-2.0" "Creative Commons Attribution Share Alike 2.0 Generic" ];
  cc-by-sa-25 = [ "CC-BY-SA-2.5" "Creative Commons Attribution Share Alike 2.5 Generic" ];
  cc-by-sa-30 = [ "CC-BY-SA-3.0" "Creative Commons Attribution Share Alike 3.0 Unported" ];
  cc-by-sa-40 = [ "CC-BY-SA-4.0" "Creative Commons Attribution Share Alike 4.0 International" ];
  cddl = [ "CDDL-1.0" "Common Development and Distribution License 1.0" ];
  cddl11 = [ "CDDL-1.1" "Common Development and Distribution License 1.1" ];
  cecill20 = [ "CECILL-2.0" "CeCILL Free Software License Agreement v2.0" ];
  cecill21 = [ "CECILL-2.1" "CeCILL Free Software License Agreement v2.1" ];
  cecill-b = [ "CECILL-B" "CeCILL-B Free Software License Agreement" ];
  cecill-c = [ "CECILL-C" "CeCILL-C Free Software License Agreement" ];
  clArtistic = [ "ClArtistic" "Clarified Artistic License" ];
  cpal10 = [ "CPAL-1.0" "Common Public Attribution License 1.0" ];
  cpl10 = [ "CPL-1.0" "Common Public License 1.0" ];
  curl = [ "curl" "curl License" ];
  doc = [ "DOC" "DOC License" ];
  drl10 = [ "DRL-1.0" "Detection Rule License 1.0" ];
  dtoa = [ "dtoa" "David M. Gay dtoa License" ];
  ecl20 = [ "ECL-2.0" "Educational Community License v2.0" ];
  efl10 = [ "EFL-1.0" "Eiffel Forum License v1.0" ];
  efl20 = [ "EFL-2.0" "Eiffel Forum License v2.0" ];
  epl10 = [ "EPL-1.0" "Eclipse Public License 1.0" ];
  epl20 = [ "EPL-2.0" "Eclipse Public License 2.0" ];
  eupl11 = [ "EUPL-1.1" "European Union Public License 1.1" ];
  eupl12 = [ "EUPL-1.2" "European Union Public License 1.2" ];
  fdl11Only = [ "GFDL-1.1-only" "GNU Free Documentation License v1.1 only" ];
  fdl11Plus = [ "GFDL-1.1-or-later" "GNU Free Documentation License v1.1 or later" ];
  fdl12Only = [ "GFDL-1.2-only" "GNU Free Documentation License v1.2 only" ];
  fdl12Plus = [ "GFDL-1.2-or-later" "GNU Free Documentation License v1.2 or later" ];
  fdl13Only = [ "GFDL-1.3-only" "GNU Free Documentation License v1.3 only" ];
  fdl13Plus = [ "GFDL-1.3-or-later" "GNU Free Documentation License v1.3 or later" ];
  ftl = [ "FTL" "Freetype Project License" ];
  giftware = [ "Giftware" "Giftware License" ];
  gpl1Only = [ "GPL-1.0-only" "GNU General Public License v1.0 only" ];
  gpl1Plus = [ "GPL-1.0-or-later" "GNU General Public License v1.0 or later" ];
  gpl2Only = [ "GPL-2.0-only" "GNU General Public License v2.0 only" ];
  gpl2Plus = [ "GPL-2.0-or-later" "GNU General Public License v2.0 or later" ];
  gpl3Only = [ "GPL-3.0-only" "GNU General Public License v3.0 only" ];
  gpl3Plus = [ "GPL-3.0-or-later" "GNU General Public License v3.0 or later" ];
  hpnd = [ "HPND" "Historical Permission Notice and Disclaimer" ];
  hpndSellVariant = [ "HPND-sell-variant" "Historical Permission Notice and Disclaimer - sell variant" ];
  icu = [ "ICU" "ICU License" ];
  ijg = [ "IJG" "Independent JPEG Group License" ];
  imagemagick = [ "ImageMagick" "ImageMagick License" ];
  imlib2 = [ "Imlib2" "Imlib2 License" ];
  info-zip = [ "Info-ZIP" "Info-ZIP License" ];
  intelACPI = [ "Intel-ACPI" "Intel ACPI Software License Agreement" ];
  interbase = [ "Interbase-1.0" "Interbase Public License v1.0" ];
  ipa = [ "IPA" "IPA Font License" ];
  ipl10 = [ "IPL-1.0" "IBM Public License v1.0" ];
  isc = [ "ISC" "ISC License" ];
  knuth = [ "Knuth-CTAN" "Knuth CTAN License" ];
  lgpl2Only = [ "LGPL-2.0-only" "GNU Library General Public License v2 only" ];
  lgpl2Plus = [ "LGPL-2.0-or-later" "GNU Library General Public License v2 or later" ];
  lgpl21Only = [ "LGPL-2.1-only" "GNU Lesser General Public License v2.1 only" ];
  lgpl21Plus = [ "LGPL-2.1-or-later" "GNU Lesser General Public License v2.1 or later" ];
  lgpl3Only = [ "LGPL-3.0-only" "GNU Lesser General Public License v3.0 only" ];
  lgpl3Plus = [ "LGPL-3.0-or-later" "GNU Lesser General Public License v3.0 or later" ];
  lgpllr = [ "LGPLLR" "Lesser General Public License For Linguistic Resources" ];
  libpng = [ "Libpng" "libpng License" ];
  libpng2 = [ "libpng-2.0" "PNG Reference Library version 2" ];
  libtiff = [ "libtiff" "libtiff License" ];
  liliq-p-11 = [ "LiLiQ-P-1.1" "Licence Libre du Québec – Permissive version 1.1" ];
  liliq-r-11 = [ "LiLiQ-R-1.1" "Licence Libre du Québec – Réciprocité version 1.1" ];
  liliq-rplus-11 = [ "LiLiQ-Rplus-1.1" "Licence Libre du Québec – Réciprocité forte version 1.1" ];
  lpl-102 = [ "LPL-1.02" "Lucent Public License v1.02" ];
  lppl1 = [ "LPPL-1.0" "LaTeX Project Public License v1.0" ];
  lppl11 = [ "LPPL-1.1" "LaTeX Project Public License v1.1" ];
  lppl12 = [ "LPPL-1.2" "LaTeX Project Public License v1.2" ];
  lppl13a = [ "LPPL-1.3a" "LaTeX Project Public License v1.3a" ];
  lppl13c = [ "LPPL-1.3c" "LaTeX Project Public License v1.3c" ];
  mirOS = [ "MirOS" "MirOS License" ];
  mit = [ "MIT" "MIT License" ];
  mit-cmu = [ "MIT-CMU" "CMU License" ];
  mit-enna = [ "MIT-enna" "enna License" ];
  mit-feh = [ "MIT-feh" "feh License" ];
  mit-modern = [ "MIT-Modern-Variant" "MIT License Modern Variant" ];
  mit0 = [ "MIT-0" "MIT No Attribution" ];
  mitAdvertising = [ "MIT-advertising" "Enlightenment License (e16)" ];
  mpl10 = [ "MPL-1.0" "Mozilla Public License 1.0" ];
  mpl11 = [ "MPL-1.1" "Mozilla Public License 1.1" ];
  mpl20 = [ "MPL-2.0" "Mozilla Public License 2.0" ];
  mspl = [ "MS-PL" "Microsoft Public License" ];
  mulan-psl2 = [ "MulanPSL-2.0" "Mulan Permissive Software License, Version 2" ];
  naist-2003 = [ "NAIST-2003" "Nara Institute of Science and Technology License (2003)" ];
  nasa13 = [ "NASA-1.3" "NASA Open Source Agreement 1.3" ];
  ncbiPd = [ "NCBI-PD" "NCBI Public Domain Notice" ];
  ncsa = [ "NCSA" "University of Illinois/NCSA Open Source License" ];
  nlpl = [ "NLPL" "No Limit Public License" ];
  nposl3 = [ "NPOSL-3.0" "Non-Profit Open Software License 3.0" ];
  ntp = [ "NTP" "NTP License" ];
  odbl = [ "ODbL-1.0" "Open Data Commons Open Database License v1.0" ];
  ofl = [ "OFL-1.1" "SIL Open Font License 1.1" ];
  oml = [ "OML" "Open Market License" ];
  openldap = [ "OLDAP-2.8" "Open LDAP Public License v2.8" ];
  openssl = [ "OpenSSL" "OpenSSL License" ];
  opubl = [ "OPUBL-1.0" "Open Publication License v1.0" ];
  osl2 = [ "OSL-2.0" "Open Software License 2.0" ];
  osl21 = [ "OSL-2.1" "Open Software License 2.1" ];
  osl3 = [ "OSL-3.0" "Open Software License 3.0" ];
  parity70 = [ "Parity-7.0.0" "The Parity Public License 7.0.0" ];
  php301 = [ "PHP-3.01" "PHP License v3.01" ];
  postgresql = [ "PostgreSQL" "PostgreSQL License" ];
  psfl = [ "PSF-2.0" "Python Software Foundation License 2.0" ];
  python20 = [ "Python-2.0" "Python License 2.0" ];
  purdueBsd = [ "lsof" "lsof License" ];
  qhull = [ "Qhull" "Qhull License" ];
  qpl = [ "QPL-1.0" "Q Public License 1.0" ];
  ruby = [ "Ruby" "Ruby License" ];
  sendmail = [ "Sendmail" "Sendmail License" ];
  sgi-b-20 = [ "SGI-B-2.0" "SGI Free Software License B v2.0" ];
  sgmlug = [ "SGMLUG-PM" "SGMLUG Parser Materials License" ];
  sissl11 = [ "SISSL" "Sun Industry Standards Source License v1.1" ];
  sleepycat = [ "Sleepycat" "Sleepycat License" ];
  smail = [ "SMAIL-GPL" "SMAIL General Public License" ];
  tcltk = [ "TCL" "TCL/TK License" ];
  torque11 = [ "TORQUE-1.1" "TORQUE v2.5+ Software License v1.1" ];
  unicode-30 = [ "Unicode-3.0" "Unicode License v3" ];
  unicode-dfs-2015 = [ "Unicode-DFS-2015" "Unicode License Agreement - Data Files and Software (2015)" ];
  unicode-dfs-2016 = [ "Unicode-DFS-2016" "Unicode License Agreement - Data Files and Software (2016)" ];
  unicodeTOU = [ "Unicode-TOU" "Unicode Terms of Use" ];
  unlicense = [ "Unlicense" "The Unlicense" ];
  upl = [ "UPL-1.0" "Universal Permissive License v1.0" ];
  vim = [ "Vim" "Vim License" ];
  vsl10 = [ "VSL-1.0" "Vovida Software License v1.0" ];
  w3c = [ "W3C" "W3C Software Notice and License (2002-12-31)" ];
  watcom = [ "Watcom-1.0" "Sybase Open Watcom Public License 1.0" ];
  wtfpl = [ "WTFPL" "Do What The F*ck You Want To Public License" ];
  x11 = [ "X11" "X11 License" ];
  xfig = [ "Xfig" "Xfig License" ];
  xinetd = [ "xinetd" "xinetd License" ];
  xskat = [ "XSkat" "XSkat License" ];
  zlib = [ "Zlib" "zlib License" ];
  zpl11 = [ "ZPL-1.1" "Zope Public License 1.1" ];
  zpl20 = [ "ZPL-2.0" "Zope Public License 2.0" ];
  zpl21 = [ "ZPL-2.1" "Zope Public License 2.1" ];
}
// builtins.mapAttrs unfree {
  bsl11 = [ "BUSL-1.1" "Business Source License 1.1" ];
  cc-by-nc-30 = [ "CC-BY-NC-3.0" "Creative Commons Attribution Non Commercial 3.0 Unported" ];
  cc-by-nc-40 = [ "CC-BY-NC-4.0" "Creative Commons Attribution Non Commercial 4.0 International" ];
  cc-by-nc-nd-30 = [ "CC-BY-NC-ND-3.0" "Creative Commons Attribution Non Commercial No Derivatives 3.0 Unported" ];
  cc-by-nc-nd-40 = [ "CC-BY-NC-ND-4.0" "Creative Commons Attribution Non Commercial No Derivatives 4.0 International" ];
  cc-by-nc-sa-20 = [ "CC-BY-NC-SA-2.0" "Creative Commons Attribution Non Commercial Share Alike 2.0 Generic" ];
  cc-by-nc-sa-25 = [ "CC-BY-NC-SA-2.5" "Creative Commons Attribution Non Commercial Share Alike 2.5 Generic" ];
  cc-by-nc-sa-30 = [ "CC-BY-NC-SA-3.0" "Creative Commons Attribution Non Commercial Share Alike 3.0 Unported" ];
  cc-by-nc-sa-40 = [ "CC-BY-NC-SA-4.0" "Creative Commons Attribution Non Commercial Share Alike 4.0 International" ];
  cc-by-nd-30 = [ "CC-BY-ND-3.0" "Creative Commons Attribution No Derivatives 3.0 Unported" ];
  cc-by-nd-40 = [ "CC-BY-ND-4.0" "Creative Commons Attribution No Derivatives 4.0 International" ];
  elastic20 = [ "Elastic-2.0" "Elastic License 2.0" ];
  prosperity30 = [ "Prosperity-3.0.0" "The Prosperity Public License 3.0.0" ];
  sspl = [ "SSPL-1.0" "Server Side Public License, v 1" ];
}
// builtins.mapAttrs make {
  free = { fullName = "Unspecified free software license"; };
  publicDomain = { fullName = "Public Domain"; };
  unfree = { fullName = "Unfree"; free = false; redistributable = false; };
  unfreeRedistributable = { fullName = "Unfree redistributable"; free = false; redistributable = true; };
  unfreeRedistributableFirmware = { fullName = "Unfree redistributable firmware"; free = false; redistributable = true; };

  # With an exception: the id is an expression of SPDX, which has no page.
  asl20-llvm = { spdxId = "Apache-2.0 WITH LLVM-exception"; fullName = "Apache License 2.0 with LLVM Exceptions"; url = "https://spdx.org/licenses/LLVM-exception.html"; };
  gpl2ClasspathPlus = { fullName = "GNU General Public License v2.0 or later (with Classpath exception)"; url = "https://spdx.org/licenses/Classpath-exception-2.0.html"; };
  gpl2Oss = { fullName = "GNU General Public License v2.0 only (with OSI approved licenses linking exception)"; };
  gpl2UBDLPlus = { fullName = "GNU General Public License v2.0 or later (with UBDL exception)"; url = "https://spdx.org/licenses/UBDL-exception.html"; };
  gpl3ClasspathPlus = { fullName = "GNU General Public License v3.0 or later (with Classpath exception)"; url = "https://spdx.org/licenses/Classpath-exception-2.0.html"; };
  llgpl21 = { fullName = "Lisp LGPL; GNU Lesser General Public License version 2.1 with Franz Inc. preamble"; };
  lgpl2Classpath = { fullName = "GNU Library General Public License v2 (with Classpath exception)"; };
  wxWindows = { spdxId = "WXwindows"; fullName = "wxWindows Library Licence, Version 3.1"; };

  # The GNU licences' short names do not say whether later versions are allowed; they stay for recipes that use them.
  agpl3 = { spdxId = "AGPL-3.0"; fullName = "GNU Affero General Public License v3.0"; deprecated = true; };
  fdl11 = { spdxId = "GFDL-1.1"; fullName = "GNU Free Documentation License v1.1"; deprecated = true; };
  fdl12 = { spdxId = "GFDL-1.2"; fullName = "GNU Free Documentation License v1.2"; deprecated = true; };
  fdl13 = { spdxId = "GFDL-1.3"; fullName = "GNU Free Documentation License v1.3"; deprecated = true; };
  gpl1 = { spdxId = "GPL-1.0"; fullName = "GNU General Public License v1.0"; deprecated = true; };
  gpl2 = { spdxId = "GPL-2.0"; fullName = "GNU General Public License v2.0"; deprecated = true; };
  gpl3 = { spdxId = "GPL-3.0"; fullName = "GNU General Public License v3.0"; deprecated = true; };
  lgpl2 = { spdxId = "LGPL-2.0"; fullName = "GNU Library General Public License v2"; deprecated = true; };
  lgpl21 = { spdxId = "LGPL-2.1"; fullName = "GNU Lesser General Public License v2.1"; deprecated = true; };
  lgpl3 = { spdxId = "LGPL-3.0"; fullName = "GNU Lesser General Public License v3.0"; deprecated = true; };
}
