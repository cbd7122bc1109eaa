use crate::options::{Address, Headers, Options};

/// What a browser sends besides Host and Connection: 13 headers with these two.
const BROWSER: &str = "Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"130\", \"Google Chrome\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/130.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.7\r\n\
    Cookie: sessionid=0123456789abcdef0123456789abcdef; csrftoken=fedcba9876543210\r\n";

/// The bytes of one request. `--close` adds `Connection: close`, a body its length: a header more
/// than `--headers` says.
pub fn bytes(options: &Options) -> Vec<u8> {
    let host = match &options.address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(_) => "localhost".into(),
    };
    let connection = match (options.close, options.headers) {
        (true, _) => "Connection: close\r\n",
        (false, Headers::Thirteen) => "Connection: keep-alive\r\n",
        (false, Headers::One) => "",
    };
    let browser = if options.headers == Headers::Thirteen { BROWSER } else { "" };
    let path = &options.path;
    let (method, length) = match &options.body {
        Some(body) => ("POST", format!("Content-Length: {}\r\n", body.len())),
        None => ("GET", String::new()),
    };
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{connection}{browser}{length}\r\n");
    [head.as_bytes(), options.body.as_deref().unwrap_or_default()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_as_many_headers_as_it_says() {
        for (args, lines) in [
            ("--headers 1", 1),
            ("--headers 13", 13),
            ("--headers 1 --close", 2),
            ("--headers 13 --close", 13),
        ] {
            let args = format!("--addr 127.0.0.1:80 {args}");
            let options = Options::from_args(args.split(' ').map(String::from)).unwrap();
            let request = String::from_utf8(bytes(&options)).unwrap();
            assert!(request.ends_with("\r\n\r\n"));
            assert_eq!(request.lines().count() - 2, lines, "{args}");
        }
    }

    #[test]
    fn posts_a_body_with_its_length() {
        let args = ["--addr", "127.0.0.1:80"].map(String::from).into_iter();
        let mut options = Options::from_args(args).unwrap();
        options.body = Some(b"a=1".to_vec());
        let request = String::from_utf8(bytes(&options)).unwrap();
        assert!(request.starts_with("POST / HTTP/1.1\r\n"));
        assert!(request.ends_with("Content-Length: 3\r\n\r\na=1"));
    }
}
